package storm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// calm is how long a tenant has to become what it was ordered to be: a
// deployment's patience, a back-off and a crowded machine are in it.
const calm = 4 * time.Minute

// converges waits until a tenant is exactly as it was ordered to be.
func (s *site) converges(tn *tenant) {
	s.Helper()
	want, history := s.ordered(tn)
	difference := ""
	for deadline := time.Now().Add(calm); ; {
		if difference = s.differs(tn, want); difference == "" {
			return
		}
		if time.Now().After(deadline) {
			s.Errorf("tenant %s (%s) is to be %+v after\n%s\nbut %s", tn.name, tn.org, want, strings.Join(history, "\n"), difference)
			return
		}
		<-time.After(200 * time.Millisecond)
	}
}

// ordered is what a tenant is to be: what its orders asked for, of which those
// count that succeeded. It waits until all are over.
func (s *site) ordered(tn *tenant) (w wish, history []string) {
	s.Helper()
	w = tn.before
	for _, o := range tn.taken {
		d := s.outcome(tn, o)
		cause := ""
		if d.ErrorMessage != nil {
			cause = *d.ErrorMessage
		}
		history = append(history, fmt.Sprintf("%s %s %s", o.what, d.Status, cause))
		switch {
		case d.Status == "completed" && d.DeploymentType == "rollback":
			w.version = 1 + slices.Index(s.images[:], d.NewImageTag)
		case d.Status == "completed":
			o.change(&w)
		case d.Status == "failed" && (o.what == "start" || o.what == "restart" || o.what == "stop" || o.what == "deprovision" || o.what == "provision"):
			o.change(&w) // what cannot go back is what should be all the same
		case d.Status == "superseded" && !cancelled(cause) && (o.what == "start" || o.what == "restart" || o.what == "stop" || o.what == "provision"):
			o.change(&w) // a stop or a deprovision came next, and what it says comes on top
		}
	}
	return w, history
}

// cancelled reports whether a deployment's cause says that it was taken back, and
// not that another order replaced it.
func cancelled(cause string) bool { return strings.HasPrefix(cause, "cancelled by ") }

func (s *site) outcome(tn *tenant, o order) client.Deployment {
	s.Helper()
	for deadline := time.Now().Add(calm); ; {
		d, err := s.client().Deployment(s.Ctx, tn.org, o.deployment)
		if err == nil && d.Over() {
			return d
		}
		if time.Now().After(deadline) {
			s.Fatalf("tenant %s: %s (%s) is not over: %+v, %v", tn.name, o.what, o.deployment, d, err)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// differs says in what a tenant is not as it should be; "" if in nothing.
func (s *site) differs(tn *tenant, want wish) string {
	t, err := s.client().Tenant(s.Ctx, tn.org)
	switch {
	case !want.there && isCode(err, "container_not_found"):
		return s.left(tn)
	case err != nil:
		return err.Error()
	case !want.there:
		return "it is there"
	}
	status := map[bool]string{true: "running", false: "stopped"}[want.running]
	if t.Status != status || want.running && t.HealthStatus != "healthy" {
		cause := ""
		if t.Cause != nil {
			cause = *t.Cause
		}
		return fmt.Sprintf("it is %s and %s: %s", t.Status, t.HealthStatus, cause)
	}
	if t.ImageTag != s.images[want.version-1] || t.Replicas != want.replicas || t.CPULimit != want.cpu {
		return fmt.Sprintf("its record says %s, %d replicas, %v cores", t.ImageTag, t.Replicas, t.CPULimit)
	}
	return s.engineDiffers(tn, want)
}

// engineDiffers compares what the Engine holds.
func (s *site) engineDiffers(tn *tenant, want wish) string {
	list := s.Containers(tn.org)
	running := 0
	for _, c := range list {
		seen, err := s.Engine.ContainerInspect(s.Ctx, c.ID, dockerclient.ContainerInspectOptions{})
		if err != nil {
			return err.Error()
		}
		state, name := seen.Container.State, strings.TrimPrefix(seen.Container.Name, "/")
		switch {
		case !strings.HasPrefix(name, berth.ContainerName(tn.org)):
			return "there is a container named " + name
		case state.Paused:
			return name + " is paused"
		case state.Running != want.running:
			return fmt.Sprintf("%s is %s", name, state.Status)
		}
		running++
		if net := seen.Container.NetworkSettings.Networks[berth.NetworkName(tn.org)]; want.running && (net == nil || !net.IPAddress.IsValid()) {
			return name + " is not in the tenant's network"
		}
	}
	if want.running && running != want.replicas {
		return fmt.Sprintf("%d containers, not %d", running, want.replicas)
	}
	if !want.running {
		return ""
	}
	for range 2 * want.replicas { // in turn, so each of them
		if got := s.answers(tn); got != fmt.Sprint(want.version) {
			return fmt.Sprintf("its port answers %q", got)
		}
	}
	return ""
}

// answers is the version that answers at a tenant's port.
func (s *site) answers(tn *tenant) string {
	t, err := s.client().Tenant(s.Ctx, tn.org) // one that was provisioned again has another port
	if err != nil {
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(s.Ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/api/health", t.ExternalPort), nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	var h struct{ Version string }
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		return err.Error()
	}
	return h.Version
}

// leavesNothing deprovisions a tenant with all it has.
func (s *site) leavesNothing(tn *tenant) {
	s.Helper()
	_, err := s.client().Deprovision(s.Ctx, tn.org, "delete", testbed.Patient())
	if err != nil && !isCode(err, "container_not_found") {
		s.Error(err)
		return
	}
	if left := s.left(tn); left != "" {
		s.Errorf("tenant %s is deprovisioned, and %s", tn.name, left)
	}
}

// left says what is left of a tenant in the Engine; "" for nothing.
func (s *site) left(tn *tenant) string {
	if list := s.Containers(tn.org); len(list) > 0 {
		return fmt.Sprintf("there are %d containers, such as %v", len(list), list[0].Names)
	}
	mine := testbed.OfTenant(tn.org)
	networks, err := s.Engine.NetworkList(s.Ctx, dockerclient.NetworkListOptions{Filters: mine})
	if err != nil || len(networks.Items) > 0 {
		return fmt.Sprintf("there are %d networks, %v", len(networks.Items), err)
	}
	volumes, err := s.Engine.VolumeList(s.Ctx, dockerclient.VolumeListOptions{Filters: mine})
	if err != nil || len(volumes.Items) > 0 {
		return fmt.Sprintf("there are %d volumes, %v", len(volumes.Items), err)
	}
	return ""
}
