package docker_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/docker"
	"github.com/unite-hub/berth/internal/testbed"
)

// eventually polls until ok returns true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for pause := range testbed.Pauses() {
		if ok() {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		}
	}
}

// short deadlines, so that an Engine that hangs is found out soon.
func short(o docker.Options) docker.Options {
	o.ReadTimeout, o.ChangeTimeout, o.StopSlack, o.PullTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond, time.Second
	return o
}

// stack is the least that can run.
func stack(t testing.TB) berth.Stack {
	t.Helper()
	org := berth.NewID()
	t.Cleanup(func() { manual{}.RemoveAll(t, org) })
	return berth.Stack{
		OrganizationID: org, Name: "Test", Generation: 1, Project: berth.ContainerName(org), Run: true,
		Subnet: subnet(), Network: berth.NetworkName(org),
		Services: []berth.Service{{
			Name: "app", Main: true, Image: shared.images.App, Reference: shared.images.Local, Replicas: 1, Port: 3000, User: "65532:65532",
			Environment: []berth.EnvVar{{Name: "PORT", Value: "3000"}},
			Limits:      berth.Limits{CPU: 0.5, MemoryMB: 256}, PidsLimit: 64, StopGrace: 5,
		}},
	}
}

func wantError(t *testing.T, err error, code berth.Code, words ...string) {
	t.Helper()
	if berth.CodeOf(err) != code {
		t.Fatalf("error has code %q, not %q: %v", berth.CodeOf(err), code, err)
	}
	e := err.(*berth.Error)
	if e.Hint == "" || e.Op == "" {
		t.Errorf("error %q has no hint or no operation: %+v", err, e)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error does not say %q: %v", w, err)
		}
	}
}

func TestEveryCallToAnEngineThatHangsEndsByItsDeadline(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := short(options())
	o.Host = p.host
	e := open(t, o)
	s := stack(t)
	p.hang(func(*http.Request) bool { return true })
	for name, call := range map[string]func() error{
		"list":    func() error { _, err := e.List(t.Context()); return err },
		"observe": func() error { _, err := e.Observe(t.Context(), s.OrganizationID); return err },
		"apply":   func() error { _, err := e.Apply(t.Context(), s); return err },
		"remove":  func() error { return e.Remove(t.Context(), berth.Removal{OrganizationID: s.OrganizationID}) },
		"resolve": func() error { _, err := e.Resolve(t.Context(), shared.images.Local, nil, nil); return err },
		"watch":   func() error { return e.Watch(t.Context(), func(berth.Hint) {}) },
		"logs":    func() error { _, err := e.Logs(t.Context(), s.OrganizationID, berth.LogOptions{}); return err },
		"info":    func() error { _, err := e.Info(t.Context()); return err },
	} {
		t.Run(name, func(t *testing.T) { wantError(t, call(), berth.CodeEngineUnavailable, "did not answer within 300ms") })
	}
	p.breakWith(nil)
	eventually(t, "it is asked again once it answers", func() bool {
		info, err := e.Info(t.Context())
		return err == nil && info.ID != ""
	})
}

func TestAChangeThatHangsEndsByItsDeadlineAndIsRepeated(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host, o.ChangeTimeout = p.host, 300*time.Millisecond
	hasty := open(t, o)
	patient, err := hasty.Fenced(func() error { return nil }) // knows what the other one was cut off from
	must(t, err)
	t.Cleanup(func() { _ = patient.Close() })
	patient.ChangeTimeout = time.Minute
	for _, path := range []string{"/networks/create", "/containers/create", "/start"} {
		s := stack(t)
		p.hang(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, path) })
		_, err := hasty.Apply(t.Context(), s)
		wantError(t, err, berth.CodeEngineUnavailable, "did not answer within 300ms")
		p.breakWith(nil)
		o, err := patient.Apply(t.Context(), s)
		if err != nil || len(o.Instances) != 1 || o.Instances[0].State != berth.InstanceRunning {
			t.Errorf("after %s hung: %+v, %v", path, o, err)
		}
	}
}

// overlaps refuses a network as the Engine does whose subnet is taken.
func overlaps(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, `{"message":"Pool overlaps with other one on this address space"}`)
}

// An Engine that has much to do works on a network for longer than a look takes,
// and shows it only at the end.
func TestASubnetThatACallOfOursStillHasIsWaitedForAsLongAsAChangeTakes(t *testing.T) {
	t.Parallel()
	const refusals = 50 // with the pauses between them, longer than ReadTimeout
	p := newProxy(t)
	o := options()
	o.Host, o.ReadTimeout = p.host, 2*time.Second
	e, s := open(t, o), stack(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int64
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		switch n := asked.Load(); {
		case !strings.HasSuffix(r.URL.Path, "/networks/create"):
			through.ServeHTTP(w, r)
		case asked.Add(1) == 1: // and is cut off
			cancel()
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		case n <= refusals:
			overlaps(w)
		default:
			through.ServeHTTP(w, r)
		}
	})
	_, err := e.Apply(ctx, s)
	wantError(t, err, berth.CodeEngineUnavailable)
	got, err := e.Apply(t.Context(), s)
	if err != nil || len(got.Instances) != 1 {
		t.Errorf("after %d refusals: %+v, %v", asked.Load(), got, err)
	}
}

// Another subnet will do, and the sooner it is chosen, the more can be tried.
func TestASubnetThatNobodyIsSeenToHaveIsWaitedForNoLongerThanALook(t *testing.T) {
	t.Parallel()
	const most = 45 // with the pauses between them, longer than ReadTimeout
	p := newProxy(t)
	o := options()
	o.Host, o.ReadTimeout = p.host, 2*time.Second
	e := open(t, o)
	var asked atomic.Int64
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if !strings.HasSuffix(r.URL.Path, "/networks/create") {
			through.ServeHTTP(w, r)
			return
		}
		asked.Add(1)
		overlaps(w)
	})
	_, err := e.Apply(t.Context(), stack(t))
	wantError(t, err, berth.CodeSubnetTaken)
	if asked.Load() > most {
		t.Errorf("it was asked %d times", asked.Load())
	}
}

func TestAContainerWhoseInspectHangsCostsOnlyItsTenant(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	o.ReadTimeout = 2 * time.Second
	hasty := open(t, o)
	sick, well := stack(t), stack(t)
	bad, err := e.Apply(t.Context(), sick)
	must(t, err)
	_, err = e.Apply(t.Context(), well)
	must(t, err)
	p.hang(func(r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "/containers/"+bad.Instances[0].ID+"/json")
	})

	_, err = hasty.Observe(t.Context(), sick.OrganizationID)
	wantError(t, err, berth.CodeEngineUnavailable, "inspect container")
	if e := err.(*berth.Error); e.Tenant != sick.OrganizationID {
		t.Errorf("the error names tenant %q", e.Tenant)
	}
	got, err := e.Observe(t.Context(), well.OrganizationID)
	if err != nil || len(got.Instances) != 1 {
		t.Errorf("the other tenant: %+v, %v", got, err)
	}
	inv, err := e.List(t.Context())
	found := 0
	for _, o := range inv.Tenants {
		if o.OrganizationID == sick.OrganizationID || o.OrganizationID == well.OrganizationID {
			found++
		}
	}
	if err != nil || found != 2 {
		t.Errorf("the list has %d of both, %v", found, err)
	}
}

func TestAnEngineThatIsNotThereIsSaidToBeUnreachable(t *testing.T) {
	t.Parallel()
	o := options()
	o.Host = "unix://" + t.TempDir() + "/nothing"
	_, err := open(t, o).Info(t.Context())
	wantError(t, err, berth.CodeEngineUnavailable, "can't be reached")
}

func TestAnEngineOnAnotherMachineIsRefused(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"tcp://192.0.2.1:2375", "ssh://root@example.com", "tcp://docker.example.com:2376"} {
		o := options()
		o.Host = host
		_, err := docker.New(o)
		if !berth.Is(err, berth.CodeEngineRefused) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestAnEngineWithoutItsDefaultBridgeIsJudgedByTheOthers(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	_, err := open(t, o).Apply(t.Context(), stack(t)) // there is a bridge of the host now
	must(t, err)
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/networks/bridge") {
			http.Error(w, `{"message":"network bridge not found"}`, http.StatusNotFound)
			return
		}
		through.ServeHTTP(w, r)
	})
	info, err := open(t, o).Info(t.Context())
	if err != nil || !info.Routed {
		t.Errorf("info %+v, %v", info, err)
	}
}

func TestAnEngineThatWantsTheNetworkFirstIsServedInOrder(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	s := stack(t)
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/containers/create") {
			if _, ok := (manual{}).Labels(t, "network", s.Network); !ok {
				http.Error(w, `{"message":"network not found"}`, http.StatusNotFound)
				return
			}
		}
		through.ServeHTTP(w, r)
	})
	if _, err := e.Apply(t.Context(), s); err != nil {
		t.Error(err)
	}
}

func TestTheStreamOfEventsEndsWithTheEngine(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	begun, end := make(chan struct{}), make(chan struct{})
	p.breakWith(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		if strings.HasSuffix(r.URL.Path, "/events") {
			close(begun)
			<-end
		}
	})
	done := make(chan error, 1)
	go func() { done <- e.Watch(t.Context(), func(berth.Hint) {}) }()
	<-begun
	close(end)
	wantError(t, <-done, berth.CodeEngineUnavailable)
}

func TestAPausedContainerIsResumedAndCanBeStopped(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	for _, run := range []bool{true, false} {
		s := stack(t)
		o, err := e.Apply(t.Context(), s)
		must(t, err)
		_, err = shared.api.ContainerPause(t.Context(), o.Instances[0].ID, client.ContainerPauseOptions{})
		must(t, err)
		seen, err := e.Observe(t.Context(), s.OrganizationID)
		if err != nil || seen.Instances[0].State != berth.InstancePaused {
			t.Errorf("paused: %+v, %v", seen, err)
		}
		s.Run = run
		o, err = e.Apply(t.Context(), s)
		if err != nil || (o.Instances[0].State == berth.InstanceRunning) != run {
			t.Errorf("run %t: %+v, %v", run, o, err)
		}
	}
}

func TestASecondNetworkOfOursIsRemoved(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	s := stack(t)
	s.Run = false
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	// An order to use another subnet, while nothing runs.
	s.Subnet = subnet()
	o, err := e.Apply(t.Context(), s)
	if err != nil || o.Subnet != s.Subnet {
		t.Errorf("observed %+v, %v", o, err)
	}
	s.Run = true
	o, err = e.Apply(t.Context(), s)
	if err != nil || !s.Subnet.Contains(o.Instances[0].Address.Addr()) {
		t.Errorf("observed %+v, %v", o, err)
	}
	// While it runs, the network that is there is the truth.
	now := s.Subnet
	s.Subnet = subnet()
	o, err = e.Apply(t.Context(), s)
	if err != nil || o.Subnet != now || o.Instances[0].State != berth.InstanceRunning {
		t.Errorf("observed %+v, %v", o, err)
	}
}

func TestANetworkThatSomeoneElseUsesIsNotRemovedAndTheErrorSaysWho(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	s := stack(t)
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	guest := "guest_" + s.OrganizationID
	manual{}.Add(t, "container", guest, nil)
	_, err = shared.api.NetworkConnect(t.Context(), s.Network, client.NetworkConnectOptions{Container: guest})
	must(t, err)
	_, err = shared.api.ContainerStart(t.Context(), guest, client.ContainerStartOptions{})
	must(t, err)
	err = e.Remove(t.Context(), berth.Removal{OrganizationID: s.OrganizationID})
	wantError(t, err, berth.CodeForeignObject, guest)
}

func TestLogsOfAllContainersAreMergedByTheLine(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	s := stack(t)
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	hello := "hello from " + shared.images.Local
	want := map[string]bool{hello: true, "complaint": true}
	follow(t, e, s.OrganizationID, want)

	s.Services[0].Replicas = 2
	_, err = e.Apply(t.Context(), s)
	must(t, err)
	follow(t, e, s.OrganizationID, map[string]bool{
		"app-1 | " + hello: true, "app-1 | complaint": true, "app-2 | " + hello: true, "app-2 | complaint": true,
	})

	r, err := e.Logs(t.Context(), s.OrganizationID, berth.LogOptions{Since: time.Now().Add(time.Hour)})
	must(t, err)
	late, err := io.ReadAll(r)
	must(t, err)
	if len(late) != 0 {
		t.Errorf("from the future: %q", late)
	}
	must(t, r.Close())
}

// follow reads until every line of want has come, then stops.
func follow(t *testing.T, e *docker.Engine, org string, want map[string]bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := e.Logs(ctx, org, berth.LogOptions{Follow: true, Tail: -1})
	must(t, err)
	defer r.Close()
	for lines := bufio.NewScanner(r); len(want) > 0; {
		if !lines.Scan() {
			t.Fatalf("the log ended without %v: %v", want, lines.Err())
		}
		if !want[lines.Text()] {
			t.Errorf("unexpected line %q", lines.Text())
		}
		delete(want, lines.Text())
	}
}

func TestAContainerIsAsHardAsItShouldBe(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	s := stack(t)
	o, err := e.Apply(t.Context(), s)
	must(t, err)
	got, err := shared.api.ContainerInspect(t.Context(), o.Instances[0].ID, client.ContainerInspectOptions{})
	must(t, err)
	h := got.Container.HostConfig
	if h.Privileged || !h.ReadonlyRootfs || len(h.CapDrop) != 1 || h.CapDrop[0] != "ALL" || len(h.CapAdd) != 0 ||
		h.MemorySwap != h.Memory || *h.PidsLimit != 64 || h.LogConfig.Type != "local" || h.IpcMode != "private" ||
		h.CgroupnsMode != "private" || len(h.PortBindings) != 0 || len(h.Binds) != 0 || len(h.MaskedPaths) == 0 || len(h.ReadonlyPaths) == 0 {
		t.Errorf("host config %+v", h)
	}
	net, err := shared.api.NetworkInspect(t.Context(), s.Network, client.NetworkInspectOptions{})
	must(t, err)
	if net.Network.EnableIPv6 || len(net.Network.IPAM.Config) != 1 || net.Network.IPAM.Config[0].Subnet != s.Subnet {
		t.Errorf("network %+v", net.Network)
	}
	if h.Init == nil || !*h.Init {
		t.Error("this Engine has an init program, and the container does not use it")
	}
}
