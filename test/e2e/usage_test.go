package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// zeroes are the body of an upload.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func (s *site) upload(port int, size int64) (status int, answer string) {
	s.Helper()
	res, err := http.Post(testbed.At(port, "/api/echo"), "application/octet-stream", io.LimitReader(zeroes{}, size))
	s.Must(err)
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	s.Must(err)
	return res.StatusCode, string(data)
}

// cpu is the processor time that the Engine counted for a tenant's container, and
// how often it was throttled.
func (s *site) cpu(org string) (used time.Duration, throttled int64) {
	s.Helper()
	res, err := s.Engine.ContainerStats(s.Ctx, berth.ContainerName(org), dockerclient.ContainerStatsOptions{})
	s.Must(err)
	defer func() { _ = res.Body.Close() }()
	var stats container.StatsResponse
	s.Must(json.NewDecoder(res.Body).Decode(&stats))
	return time.Duration(stats.CPUStats.CPUUsage.TotalUsage), int64(stats.CPUStats.ThrottlingData.ThrottledPeriods)
}

// peak is the most memory that the control plane has held, in MB.
func (s *site) peak() (megabytes int) {
	s.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Pid()))
	s.Must(err)
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	_, err = fmt.Sscan(rest, &megabytes)
	s.Must(err)
	return megabytes >> 10
}

func near[N int64 | float64](got *N, want, share float64) bool {
	return got != nil && float64(*got) >= want*(1-share) && float64(*got) <= want*(1+share)
}

// Seed faults 11, 12 and 13, and fault 39: a gigabyte passes through.
func TestUsageIsWhatWasUsed(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Used", Start: true})
	s.Eventually(60*time.Second, "it was read once", func() bool {
		m, err := s.api.Metrics(s.Ctx, org)
		return err == nil && m.ReadAt != nil && m.CPUSeconds != nil
	})
	before, throttledBefore := s.cpu(org)

	const gigabyte, answers, errors = 1 << 30, 100, 20
	requests := int64(0)
	expect := func(status, want int, body string) {
		t.Helper()
		if requests++; status != want {
			t.Fatalf("%d %s", status, body)
		}
	}
	status, body := s.upload(made.ExternalPort, gigabyte)
	expect(status, 200, body)
	if !strings.Contains(body, fmt.Sprintf(`"bytes":%d`, gigabyte)) {
		t.Errorf("of a gigabyte arrived: %s", body)
	}
	if peak := s.peak(); peak > 150 {
		t.Errorf("the control plane held %d MB", peak)
	}
	content := strings.Repeat("x", 1<<20)
	status, body = s.Ask("PUT", testbed.At(made.ExternalPort, "/api/data/big"), content)
	expect(status, 204, body)
	for range answers {
		status, _ = s.Ask("GET", testbed.At(made.ExternalPort, "/api/data/big"), "")
		expect(status, 200, "of the big answer")
	}
	status, body = s.behave(made.ExternalPort, `{"healthStatus": 500}`)
	expect(status, 204, body)
	for range errors {
		status, body = s.Ask("GET", testbed.At(made.ExternalPort, "/api/health"), "")
		expect(status, 500, body)
	}
	status, body = s.behave(made.ExternalPort, `{"cpuMs": 3000, "memoryMb": 200}`)
	expect(status, 204, body)
	after, throttledAfter := s.cpu(org)
	burnt := (after - before).Seconds()
	if burnt < 3 {
		t.Fatalf("the Engine counted %.2f s", burnt)
	}

	var m client.Metrics
	s.Eventually(60*time.Second, "metrics show it", func() bool {
		var err error
		m, err = s.api.Metrics(s.Ctx, org)
		s.Must(err)
		return m.CPUSeconds != nil && *m.CPUSeconds > 0.9*burnt && m.RequestCount != nil && *m.RequestCount >= requests
	})
	if m.RequestCount == nil || *m.RequestCount != requests || m.ErrorCount == nil || *m.ErrorCount != errors {
		t.Errorf("requests %v of %d, errors %v of %d", show(m.RequestCount), requests, show(m.ErrorCount), errors)
	}
	if !near(m.NetworkRxBytes, gigabyte+1<<20, 0.2) || !near(m.NetworkTxBytes, answers<<20, 0.2) || !near(m.CPUSeconds, burnt, 0.15) || !near(m.MemoryUsageMB, 215, 0.15) {
		t.Errorf("received %s, sent %s, processor %s s of %.2f, memory %s MB", show(m.NetworkRxBytes), show(m.NetworkTxBytes), show(m.CPUSeconds), burnt, show(m.MemoryUsageMB))
	}

	var u client.Usage
	s.Eventually(90*time.Second, "the minutes show it", func() bool {
		var err error
		u, err = s.api.Usage(s.Ctx, org, client.UsageSpan{Hours: 1, Resolution: "minute"})
		s.Must(err)
		return u.Average.RequestCount != nil && *u.Average.RequestCount >= requests && u.Average.MemoryUsageMBMax != nil && *u.Average.MemoryUsageMBMax > 150
	})
	a := u.Average
	if *a.RequestCount != requests || a.ErrorCount == nil || *a.ErrorCount != errors || a.AvgResponseTimeMs == nil || *a.AvgResponseTimeMs <= 0 {
		t.Errorf("requests %v of %d, errors %v of %d, in %s ms", show(a.RequestCount), requests, show(a.ErrorCount), errors, show(a.AvgResponseTimeMs))
	}
	if !near(a.NetworkRxBytes, gigabyte+1<<20, 0.2) || !near(a.NetworkTxBytes, answers<<20, 0.2) {
		t.Errorf("received %s, sent %s", show(a.NetworkRxBytes), show(a.NetworkTxBytes))
	}
	if a.CPUUsagePercentAvg == nil || a.CPUUsagePercentMax == nil || *a.CPUUsagePercentMax <= *a.CPUUsagePercentAvg || *a.CPUUsagePercentMax > 60 { // its limit is half a core
		t.Errorf("processor %s %% on average, %s %% at most", show(a.CPUUsagePercentAvg), show(a.CPUUsagePercentMax))
	} else if seconds := *a.CPUUsagePercentAvg / 100 * float64(a.CoveredSeconds); seconds < 0.85*burnt || seconds > 1.15*burnt {
		t.Errorf("processor %.2f s in %d s, not %.2f", seconds, a.CoveredSeconds, burnt)
	}
	if !near(a.MemoryUsageMBMax, 215, 0.15) || a.MemoryUsageMBAvg == nil || *a.MemoryUsageMBAvg >= *a.MemoryUsageMBMax {
		t.Errorf("memory %s MB on average, %s at most", show(a.MemoryUsageMBAvg), show(a.MemoryUsageMBMax))
	}
	// On a machine that is crowded a tenant may never get as far as to its limit. What
	// the kernel counted outside the burning, Berth may have seen or not.
	_, throttled := s.cpu(org)
	if n := a.CPUThrottlingCount; n == nil || *n < throttledAfter-throttledBefore || *n > throttled || a.OOMKillCount == nil || *a.OOMKillCount != 0 {
		t.Errorf("throttled %s times, killed %s times; the kernel counted %d throttled periods, %d of them while it burnt", show(n), show(a.OOMKillCount), throttled, throttledAfter-throttledBefore)
	}
}

func show[N int64 | float64](n *N) string {
	if n == nil {
		return "unknown"
	}
	return fmt.Sprint(*n)
}
