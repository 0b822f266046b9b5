package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
)

// Site is what a test from outside stands on: the machine's Engine, and ways to
// ask and to wait. Those who run control planes on it embed it.
type Site struct {
	*testing.T
	Ctx    context.Context // goes on while the test takes away what it made
	Engine *dockerclient.Client
}

// NewSite returns a site that goes with the test.
func NewSite(t *testing.T) *Site {
	t.Helper()
	s := &Site{T: t, Ctx: context.WithoutCancel(t.Context())}
	var err error
	s.Engine, err = Engine()
	s.Must(err)
	t.Cleanup(func() { s.Must(s.Engine.Close()) })
	return s
}

// Serve starts a control plane, which is stopped when the test is over, and
// returns a client with its operator's token.
func (s *Site) Serve(p *Process) *client.Client {
	s.Helper()
	api := s.ServeAgain(p)
	s.Cleanup(func() {
		if s.Failed() {
			s.Log(p.Log())
		}
		if p.Running() {
			s.Must(p.Stop())
		}
	})
	return api
}

// ServeAgain starts a control plane that has ended, on the same state.
func (s *Site) ServeAgain(p *Process) *client.Client {
	s.Helper()
	s.Must(p.Start(s.Ctx))
	api, err := client.New(p.URL, p.Token)
	s.Must(err)
	return api
}

// Patient waits for an outcome as long as a crowded machine may take: without a
// wait of its own a call is answered after a minute, done or not.
func Patient() client.Call { return client.Call{Wait: 9 * time.Minute} }

// Must ends the test if there is an error.
func (s *Site) Must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// Eventually waits until what is wanted holds. within is what a quiet machine
// may take; a crowded one gets more of it: what never comes is found as well.
func (s *Site) Eventually(within time.Duration, what string, holds func() bool) {
	s.Helper()
	deadline := time.Now().Add(within * Crowded)
	for pause := range Pauses() {
		if holds() {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("after %v, not yet: %s", within*Crowded, what)
		}
		<-time.After(pause)
	}
}

// Pauses are those between looks at something that is waited for: short at first,
// and never so long that they matter beside what took as long as all before them.
// Many tests wait at the same time, and each look takes time from what they wait for.
func Pauses() iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		for pause := 10 * time.Millisecond; yield(pause); {
			pause = min(pause*5/4, 250*time.Millisecond)
		}
	}
}

// Ask does one request. The status is 0 if there was no answer.
func (s *Site) Ask(method, url, body string) (status int, answer string) {
	ctx, cancel := context.WithTimeout(s.Ctx, 15*time.Second*Crowded)
	defer cancel()
	return Ask(ctx, method, url, body)
}

// Ask does one request. The status is 0 if there was no answer, which is then the
// error.
func Ask(ctx context.Context, method, url, body string) (status int, answer string) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(data)
}

// At is a URL of a tenant's port.
func At(port int, path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", port, path) }

// Serves reports whether a port answers as that version of the tenant image.
func (s *Site) Serves(port int, version string) bool {
	status, body := s.Ask("GET", At(port, "/api/health"), "")
	var h struct{ Version string }
	return status == http.StatusOK && json.Unmarshal([]byte(body), &h) == nil && h.Version == version
}

// Containers are all that the Engine has of a tenant.
func (s *Site) Containers(org string) []container.Summary {
	s.Helper()
	list, err := s.Engine.ContainerList(s.Ctx, dockerclient.ContainerListOptions{All: true, Filters: OfTenant(org)})
	s.Must(err)
	return list.Items
}

// OfTenant selects what the Engine has of a tenant.
func OfTenant(org string) dockerclient.Filters {
	return make(dockerclient.Filters).Add("label", berth.LabelTenantID+"="+org)
}

// Drop removes a container, running or not.
func (s *Site) Drop(name string) {
	s.Helper()
	if _, err := s.Engine.ContainerRemove(s.Ctx, name, dockerclient.ContainerRemoveOptions{Force: true}); err != nil {
		s.Errorf("remove %s: %v", name, err)
	}
}

// End waits until a container has ended and returns its exit code.
func (s *Site) End(name string) int64 {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Ctx, time.Minute*Crowded)
	defer cancel()
	wait := s.Engine.ContainerWait(ctx, name, dockerclient.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case r := <-wait.Result:
		return r.StatusCode
	case err := <-wait.Error:
		s.Fatalf("wait for the end of %s: %v", name, err)
		return -1
	}
}

// Output is what a container has written until now.
func (s *Site) Output(name string) (stdout, stderr string) {
	s.Helper()
	logs, err := s.Engine.ContainerLogs(s.Ctx, name, dockerclient.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	s.Must(err)
	var out, errs bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &errs, logs)
	s.Must(errors.Join(err, logs.Close()))
	return out.String(), errs.String()
}
