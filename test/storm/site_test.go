package storm_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// site is a control plane, an Engine and a registry.
type site struct {
	*testbed.Site
	process *testbed.Process
	images  [2]string // version 1 and 2, in the registry
	pulled  [2]string // the same by their digests
	tenants []*tenant

	mu     sync.Mutex // held while the control plane is ended and started
	api    *client.Client
	diary  []string       // what was done, for the reader of a failure
	counts map[string]int // of what was done, by kind
}

func newSite(t *testing.T) *site {
	t.Helper()
	ports, err := testbed.FreePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Site: testbed.NewSite(t), counts: map[string]int{}, process: &testbed.Process{
		Binary: rig.Binary, StateDir: t.TempDir(), Ports: ports, Pool: testbed.NewPool(t).String(), Args: []string{"--deploy-deadline", "45s"},
	}}
	registry := testbed.Registry(t, "storm", "storm")
	for i := range s.images {
		tag, digest := registry.PushVersion(t, fmt.Sprint("storm/app:", i+1), fmt.Sprint(i+1))
		s.images[i], s.pulled[i] = tag, registry.Host+"/storm/app@"+digest
	}
	s.Must(s.start())
	t.Cleanup(s.end)
	s.Must(s.api.PutRegistry(s.Ctx, registry.Host, registry.Username, registry.Password))
	return s
}

func (s *site) start() (err error) {
	if err := s.process.Start(s.Ctx); err != nil {
		return err
	}
	s.api, err = client.New(s.process.URL, s.process.Token)
	return err
}

// end takes away what a failed storm left, and says what was done in it.
func (s *site) end() {
	if s.Failed() {
		s.Logf("done in this storm:\n%s", strings.Join(s.diary, "\n"))
		s.Logf("the control plane says:\n%s", tail(s.process.Log(), 60_000))
	}
	if s.process.Running() {
		for _, tn := range s.tenants {
			if _, err := s.api.Deprovision(s.Ctx, tn.org, "delete", testbed.Patient()); err != nil && !isCode(err, "container_not_found") {
				s.Error(err)
			}
		}
		if err := s.process.Stop(); err != nil {
			s.Error(err)
		}
	}
	for _, tn := range s.tenants { // what a failed storm left, and what was renamed
		for _, c := range s.Containers(tn.org) {
			_, _ = s.Engine.ContainerRemove(s.Ctx, c.ID, dockerclient.ContainerRemoveOptions{Force: true})
		}
		_, _ = s.Engine.NetworkRemove(s.Ctx, berth.NetworkName(tn.org), dockerclient.NetworkRemoveOptions{})
	}
	for _, image := range slices.Concat(s.images[:], s.pulled[:]) {
		_ = testbed.RemoveImage(s.Ctx, image)
	}
}

// note writes down what was done, and counts it by its kind.
func (s *site) note(kind, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[kind]++
	s.diary = append(s.diary, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// account says what there was in the storm.
func (s *site) account() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(s.counts)) {
		list = append(list, fmt.Sprintf("%d × %s", s.counts[kind], kind))
	}
	s.Log(strings.Join(list, "; "))
}

// client returns the client of the control plane that runs now.
func (s *site) client() *client.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.api
}

// call repeats a call until the control plane has answered it, however often it
// is killed meanwhile: the same idempotency key makes it one order.
func (s *site) call(key string, do func(*client.Client, client.Call) error) error {
	for {
		err := do(s.client(), client.Call{Wait: -1, IdempotencyKey: key})
		var answered *client.Error
		if err == nil || errors.As(err, &answered) && answered.Status < 500 {
			return err
		}
		<-time.After(100 * time.Millisecond)
	}
}

func isCode(err error, code string) bool {
	var e *client.Error
	return errors.As(err, &e) && e.Code == code
}

func tail(text string, most int) string { return text[max(0, len(text)-most):] }
