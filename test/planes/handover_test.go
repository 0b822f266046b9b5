package planes_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// ordered is how long nobody may answer when a leader is told to end.
const ordered = 3 * time.Second

// hammer asks a tenant without pause, each time on a connection of its own.
type hammer struct {
	port   int
	served []time.Time // when answers were there
	failed []error     // of what was not turned away at once
}

func (h *hammer) run(ctx context.Context) {
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx.Err() == nil {
		resp, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d/api/health", h.port))
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			_, err = io.Copy(io.Discard, resp.Body)
			h.served = append(h.served, time.Now())
			err = errors.Join(err, resp.Body.Close())
		case err == nil:
			err = errors.Join(errors.New(resp.Status), resp.Body.Close())
		case errors.Is(err, syscall.ECONNREFUSED): // nobody has the port: nothing was accepted
			err = nil
			<-time.After(5 * time.Millisecond)
		}
		if err != nil {
			h.failed = append(h.failed, err)
		}
	}
}

// gap is the longest time in which nobody answered.
func gap(all []time.Time) (most time.Duration) {
	slices.SortFunc(all, time.Time.Compare)
	for i := 1; i < len(all); i++ {
		most = max(most, all[i].Sub(all[i-1]))
	}
	return most
}

func TestALeaderThatIsToldToEndHandsOverAtOnceAndFailsNoRequest(t *testing.T) {
	s := newSite(t)
	a := s.plane("a")
	s.Eventually(10*time.Second, "a leads", a.leads)
	b := s.plane("b")
	last := a
	one := a.provision(&last)
	before := s.containers(orgOf(one))

	ctx, stop := context.WithCancel(s.Ctx)
	hammers := make([]hammer, 4)
	var hits sync.WaitGroup
	for i := range hammers {
		hammers[i].port = one.ExternalPort
		hits.Go(func() { hammers[i].run(ctx) })
	}
	<-time.After(500 * time.Millisecond)
	last = b
	s.Must(a.process.Stop())
	s.Eventually(handOver, "b leads", b.leads)
	s.Eventually(handOver, "b serves", func() bool { return s.serves(one.ExternalPort) })
	<-time.After(500 * time.Millisecond)
	stop()
	hits.Wait()
	var served []time.Time
	for _, h := range hammers {
		served = append(served, h.served...)
		for _, err := range h.failed {
			if ctxEnd := errors.Is(err, context.Canceled); !ctxEnd && !halfMade(err) {
				t.Errorf("a request failed: %v", err)
			}
		}
	}
	t.Logf("%d requests; nobody answered for %v", len(served), gap(served))
	if got := gap(served); got > ordered {
		t.Errorf("nobody answered for %v", got)
	}
	if after := s.containers(orgOf(one)); !slices.Equal(after, before) {
		t.Errorf("containers %v became %v", before, after)
	}
}

// halfMade reports whether a connection was reset before anything was sent on
// it: the kernel does so to those that it has not handed over when a port closes.
func halfMade(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && errors.Is(err, syscall.ECONNRESET) && op.Op != "write"
}

// What does not lead says what it knows, and of the rest that it does not.
func TestAControlPlaneThatDoesNotLeadAnswersTheTruth(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.plane("a")
	s.Eventually(10*time.Second, "a leads", a.leads)
	last := a
	one := a.provision(&last)
	beside := s.plane("beside")
	socket := filepath.Join(s.TempDir(), "engine")
	blind := s.plane("blind", "DOCKER_HOST=unix://"+socket) // is ready all the same

	st, err := beside.api.Status(s.Ctx, orgOf(one))
	s.Must(err)
	if !st.EngineReachable || st.Running == nil || !*st.Running || st.Healthy == nil || !*st.Healthy || len(st.Containers) != 1 {
		t.Errorf("beside a: %+v", st)
	}
	logs, err := beside.api.Logs(s.Ctx, orgOf(one), client.LogOptions{})
	s.Must(err)
	text, err := io.ReadAll(logs)
	s.Must(errors.Join(err, logs.Close()))
	if len(text) == 0 {
		t.Error("beside a: no logs")
	}

	st, err = blind.api.Status(s.Ctx, orgOf(one))
	s.Must(err)
	if st.EngineReachable || st.Running != nil || st.Healthy != nil || st.HealthStatus != "unknown" {
		t.Errorf("without an engine: %+v", st)
	}
	if logs, err := blind.api.Logs(s.Ctx, orgOf(one), client.LogOptions{}); code(err) != "engine_unavailable" {
		if err == nil {
			_ = logs.Close()
		}
		t.Errorf("without an engine, logs: %v", err)
	}
	for _, p := range []*plane{beside, blind} {
		m, err := p.api.Metrics(s.Ctx, orgOf(one))
		s.Must(err)
		if m.ReadAt != nil || m.CPUPercent != nil || m.MemoryUsageMB != nil || m.RequestCount != nil {
			t.Errorf("%s shows what it has not read: %+v", p.name, m)
		}
	}
	// An engine that never answered gets no tenant, and orders reach who leads.
	_, err = blind.api.Provision(s.Ctx, client.Provision{OrganizationID: berth.NewID(), TenantName: "Nowhere"}, client.Call{})
	if code(err) != "engine_unavailable" {
		t.Errorf("provisioned nowhere: %v", err)
	}
	for _, p := range []*plane{beside, blind} {
		got, err := p.api.Restart(s.Ctx, orgOf(one), testbed.Patient())
		if err != nil || !got.Done || got.Status != "running" {
			t.Errorf("an order through %s: %+v, %v", p.name, got, err)
		}
	}
	// Its engine comes, and then nobody else is left.
	machines := strings.TrimPrefix(cmp.Or(os.Getenv("DOCKER_HOST"), dockerclient.DefaultDockerHost), "unix://")
	sees := func() bool {
		h, err := blind.api.ServerHealth(s.Ctx)
		s.Must(err)
		return h.EngineReachable != nil && *h.EngineReachable
	}
	s.Must(os.Symlink(machines, socket))
	s.Eventually(15*time.Second, "the engine is found", sees)
	before := s.containers(orgOf(one))
	s.Must(beside.process.Stop())
	s.Must(a.process.Stop())
	last = blind
	s.Eventually(15*time.Second, "it leads the engine that came", blind.leads)
	s.Eventually(15*time.Second, "it serves", func() bool { return s.serves(one.ExternalPort) })
	if after := s.containers(orgOf(one)); !slices.Equal(after, before) {
		t.Errorf("containers %v became %v", before, after)
	}
}

func TestTenantsThatAreProvisionedThroughTwoAtOnceShareNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	planes := []*plane{s.plane("a"), s.plane("b")}
	s.Eventually(10*time.Second, "one leads", func() bool { return planes[0].leads() || planes[1].leads() })
	const each = 4
	type outcome struct {
		plane *plane
		made  client.Provisioned
		err   error
	}
	outcomes := make(chan outcome, each*len(planes))
	for range each {
		for _, p := range planes {
			go func() {
				org := berth.NewID()
				made, err := p.api.Provision(s.Ctx, client.Provision{OrganizationID: org, TenantName: "Same name", ImageTag: rig.ImageOne}, testbed.Patient())
				made.OrganizationID = org
				outcomes <- outcome{p, made, err}
			}()
		}
	}
	var orgs []string
	t.Cleanup(func() {
		for _, org := range orgs {
			if _, err := planes[1].api.Deprovision(s.Ctx, org, "delete", testbed.Patient()); err != nil {
				t.Error(err)
			}
		}
	})
	ports, slugs := map[int]bool{}, map[string]bool{}
	for range cap(outcomes) {
		o := <-outcomes
		if o.err != nil {
			t.Errorf("%s: %v", o.plane.name, o.err)
			continue
		}
		orgs = append(orgs, o.made.OrganizationID)
		if o.made.Status != "stopped" || ports[o.made.ExternalPort] || slugs[o.made.Slug] {
			t.Errorf("%s: %+v", o.plane.name, o.made)
		}
		ports[o.made.ExternalPort], slugs[o.made.Slug] = true, true
	}
}

func TestAStartWithoutTheDatabaseEndsWithTheCause(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := &testbed.Process{Binary: rig.Binary, StateDir: s.TempDir(), Ports: s.ports, Pool: s.pool, Env: []string{"BERTH_DATABASE_URL=" + s.url}}
	for what, fault := range map[string]struct{ begin, end func() error }{
		"paused": {s.postgres.Pause, s.postgres.Resume},
		"killed": {s.postgres.Kill, func() error { return s.postgres.Start(s.Ctx) }},
	} {
		s.Must(fault.begin())
		began := time.Now()
		err := p.Start(s.Ctx)
		if took := time.Since(began); err == nil || took > 20*time.Second || !strings.Contains(err.Error(), "database") || strings.Contains(err.Error(), "goroutine ") {
			t.Errorf("%s: after %v: %v", what, took, err)
		}
		s.Must(fault.end())
	}
	s.Must(p.Start(s.Ctx))
	s.Must(p.Stop())
}

// An older database knows nothing of what was made since.
func TestWhatARestoredDatabaseDoesNotKnowIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.plane("a")
	s.Eventually(10*time.Second, "a leads", a.leads)
	last := a
	one := a.provision(&last)
	s.Must(a.process.Stop())
	s.Must(s.postgres.CreateDatabase(s.Ctx, "older", "berth"))
	a.start()
	two := a.provision(&last)
	before := slices.Concat(s.containers(orgOf(one)), s.containers(orgOf(two)))
	s.Must(a.process.Stop())

	env := a.process.Env
	a.process.Env = []string{"BERTH_DATABASE_URL=" + s.postgres.URL("older")}
	a.start()
	s.Eventually(60*time.Second, "what is not known is reported", func() bool {
		list, err := a.api.Events(s.Ctx, "", "", 100)
		s.Must(err)
		return slices.ContainsFunc(list.Events, func(e client.Event) bool { return strings.Contains(e.Message, "quarantined") })
	})
	if !s.serves(one.ExternalPort) {
		t.Error("what it knows does not serve")
	}
	s.Must(a.process.Stop())
	a.process.Env = env
	a.start()
	if after := slices.Concat(s.containers(orgOf(one)), s.containers(orgOf(two))); !slices.Equal(after, before) {
		t.Errorf("containers %v became %v", before, after)
	}
	s.Eventually(30*time.Second, "with the newer database all serve", func() bool { return s.serves(one.ExternalPort) && s.serves(two.ExternalPort) })
}
