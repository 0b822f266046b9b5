package docker_test

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/unite-hub/berth"
)

// next is the stack that follows, its container beside the one that runs.
func next(s berth.Stack) berth.Stack {
	s.Generation++
	s.Others = []berth.Version{{Service: s.Services[0].Name, Hash: s.Services[0].Hash(), Instances: 1}}
	s.Services = slices.Clone(s.Services)
	s.Services[0].Image = shared.images.Next
	return s
}

// An Engine that renames a running container while another one's endpoint goes
// may count that endpoint for ever.
func TestARunningContainerIsRenamedBeforeAnythingGoes(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	s := stack(t)
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	s = next(s)
	_, err = e.Apply(t.Context(), s)
	must(t, err)
	var mu sync.Mutex
	var changes []string
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if r.Method != http.MethodGet {
			mu.Lock()
			changes = append(changes, r.Method+" "+path.Base(r.URL.Path))
			mu.Unlock()
		}
		through.ServeHTTP(w, r)
	})
	s.Others = nil
	got, err := e.Apply(t.Context(), s)
	must(t, err)
	if len(got.Instances) != 1 || got.Instances[0].Name != berth.ContainerName(s.OrganizationID) || len(got.Foreign) != 0 {
		t.Errorf("alone: %+v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(changes) != 4 || changes[0] != "POST rename" || changes[1] != "POST rename" || changes[2] != "POST stop" || !strings.HasPrefix(changes[3], "DELETE ") {
		t.Errorf("changes %q, want two renamings, then a stop and a removal", changes)
	}
}

// A container that the Engine is about to start again has no sandbox: the Engine
// refuses to rename it, or to connect it, in that state.
func TestWhatTheEngineIsAboutToStartAgainIsNamedAndReplacedAllTheSame(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	restarting := func(o berth.Observed, image string) bool {
		return slices.ContainsFunc(o.Instances, func(c berth.Instance) bool {
			return c.Image == image && c.State == berth.InstanceRestarting && c.Restarts > 4 // the pause is 1.6 s long by then
		})
	}
	s := stack(t)
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	crashes := next(s)
	crashes.Services[0].Command = []string{"exit:3"}
	_, err = e.Apply(t.Context(), crashes)
	must(t, err)
	wait := func() {
		t.Helper()
		eventually(t, "it is in the Engine's pause before a restart", func() bool {
			o, err := e.Observe(t.Context(), s.OrganizationID)
			return err == nil && restarting(o, shared.images.Next)
		})
	}
	wait()
	alone := crashes
	alone.Others = nil
	_, err = e.Apply(t.Context(), alone) // it takes the name of the one that goes
	must(t, err)
	wait()
	back := s
	back.Generation += 2
	back.Others = []berth.Version{{Service: "app", Hash: crashes.Services[0].Hash(), Instances: 1}}
	_, err = e.Apply(t.Context(), back) // beside one that has the name and does not run
	must(t, err)
	wait()
	back.Others = nil
	got, err := e.Apply(t.Context(), back)
	must(t, err)
	if len(got.Instances) != 1 || got.Instances[0].Image != shared.images.App || got.Instances[0].Name != berth.ContainerName(s.OrganizationID) || got.Instances[0].State != berth.InstanceRunning {
		t.Errorf("back: %+v", got.Instances)
	}
}

// The one that gave its name up is ours under the name that it got, also for a
// Berth that begins in between.
func TestAContainerThatGaveItsNameUpIsStillOurs(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	s := stack(t)
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	beside := next(s)
	_, err = e.Apply(t.Context(), beside)
	must(t, err)
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if path.Base(r.URL.Path) == "stop" {
			panic(http.ErrAbortHandler)
		}
		through.ServeHTTP(w, r)
	})
	alone := beside
	alone.Others = nil
	if _, err := e.Apply(t.Context(), alone); err == nil {
		t.Fatal("a stop that was cut off was not told")
	}
	p.breakWith(nil)
	seen, err := open(t, options()).Observe(t.Context(), s.OrganizationID)
	must(t, err)
	var names []string
	for _, c := range seen.Instances {
		names = append(names, c.Name)
	}
	want := []string{berth.ContainerName(s.OrganizationID), berth.ContainerName(s.OrganizationID) + "_g1_app_1"}
	if !slices.Equal(names, want) || len(seen.Foreign) != 0 {
		t.Errorf("containers %q, foreign %+v; want %q", names, seen.Foreign, want)
	}
	// The way back: what gave its name up takes it again.
	s.Generation += 2
	back, err := e.Apply(t.Context(), s)
	if err != nil || len(back.Instances) != 1 || back.Instances[0].Name != want[0] || back.Instances[0].Image != shared.images.App {
		t.Errorf("back: %+v, %v", back, err)
	}
}

func TestANetworkThatTheEngineMiscountsIsReportedWithTheWayOut(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	s := stack(t)
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/networks/") {
			http.Error(w, `{"message":"error while removing network: network x has active endpoints"}`, http.StatusForbidden)
			return
		}
		through.ServeHTTP(w, r)
	})
	err = e.Remove(t.Context(), berth.Removal{OrganizationID: s.OrganizationID})
	wantError(t, err, berth.CodeEngineUnavailable, "counts something in network")
	p.breakWith(nil)
	must(t, e.Remove(t.Context(), berth.Removal{OrganizationID: s.OrganizationID}))
}
