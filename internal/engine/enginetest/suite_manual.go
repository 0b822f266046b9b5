package enginetest

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unite-hub/berth"
)

func sameAddress(a, b netip.AddrPort) bool { return a == b }
func samePrefix(a, b netip.Prefix) bool    { return a == b }

// names returns the name of one object of each kind that the stack calls for.
func (x *tenant) names() map[string]string {
	return map[string]string{
		kindContainer: berth.ContainerName(x.org), kindNetwork: x.stack.Network, kindVolume: x.stack.Volumes[0].Name,
	}
}

func foreignInTheWay(t *testing.T, h Harness) {
	for _, kind := range []string{kindContainer, kindNetwork, kindVolume} {
		t.Run(kind, func(t *testing.T) {
			x := h.tenant(t)
			name := x.names()[kind]
			mine := map[string]string{"someone": "else"}
			h.Manual.Add(t, kind, name, mine)
			err := x.fails(berth.CodeForeignObject, x.stack)
			if !strings.Contains(err.Error(), name) {
				t.Errorf("the error does not name it: %v", err)
			}
			labels, ok := h.Manual.Labels(t, kind, name)
			if !ok || labels["someone"] != "else" {
				t.Errorf("it was touched: %v %v", labels, ok)
			}
			o := x.observe()
			if len(o.Foreign) != 1 || o.Foreign[0].Name != name || o.Foreign[0].Kind != kind || o.Foreign[0].Reason == "" || len(o.Instances) != 0 {
				t.Errorf("observed %+v", o)
			}
			// Taken away, it stands in the way no more.
			h.Manual.Remove(t, kind, name)
			x.runs(x.apply(x.stack))
		})
	}
}

func copiedLabels(t *testing.T, h Harness) {
	for _, kind := range []string{kindContainer, kindNetwork, kindVolume} {
		t.Run(kind, func(t *testing.T) {
			x := h.tenant(t)
			o := x.apply(x.stack)
			labels, ok := h.Manual.Labels(t, kind, x.names()[kind])
			if !ok {
				t.Fatal("not there")
			}
			copied := "copy_of_" + x.org
			h.Manual.Add(t, kind, copied, maps.Clone(labels))
			now := x.observe()
			if len(now.Foreign) != 1 || now.Foreign[0].Name != copied || len(now.Instances) != len(o.Instances) || len(now.Volumes) != 1 {
				t.Errorf("observed %+v", now)
			}
			inv, err := h.Engine.List(x.ctx)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(inv.Tenants, func(o berth.Observed) bool { return o.OrganizationID == x.org })
			if i < 0 || len(inv.Tenants[i].Foreign) != 1 || inv.Tenants[i].Foreign[0].Name != copied {
				t.Errorf("listed %+v", inv)
			}
			x.apply(x.stack) // it is not in the way
			if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: o.Volumes}); err != nil {
				t.Errorf("remove: %v", err)
			}
			if _, ok := h.Manual.Labels(t, kind, copied); !ok {
				t.Error("the copy was removed")
			}
		})
	}
}

// forgedLabels copies labels to another name of the same tenant, where only the
// seal tells them from the real ones.
func forgedLabels(t *testing.T, h Harness) {
	x := h.tenant(t)
	x.apply(x.stack)
	for kind, suffix := range map[string]string{kindContainer: "_app_2", kindNetwork: "_network_2", kindVolume: "_more"} {
		labels, _ := h.Manual.Labels(t, kind, x.names()[kind])
		h.Manual.Add(t, kind, berth.ContainerName(x.org)+suffix, labels)
	}
	if o := x.observe(); len(o.Foreign) != 3 || len(o.Instances) != 1 || len(o.Volumes) != 1 {
		t.Errorf("observed %+v", o)
	}
	x.fails(berth.CodeForeignObject, x.next(func(s *berth.Stack) { s.Services[0].Replicas = 2 }))
	x.fails(berth.CodeForeignObject, x.next(func(s *berth.Stack) {
		s.Services[0].Replicas = 1
		s.Volumes = append(s.Volumes, berth.Volume{Name: berth.ContainerName(x.org) + "_more"})
	}))
}

func otherInstallation(t *testing.T, h Harness) {
	x := h.tenant(t)
	theirs, err := h.Stranger.Apply(x.ctx, x.stack)
	if err != nil {
		t.Fatal(err)
	}
	x.fails(berth.CodeForeignObject, x.stack)
	err = h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: theirs.Volumes})
	wantCode(t, err, berth.CodeForeignObject)
	inv, err := h.Engine.List(x.ctx)
	if err != nil {
		t.Fatal(err)
	}
	foreign := 0
	for _, f := range inv.Foreign {
		if f.OrganizationID == x.org {
			foreign++
		}
	}
	if foreign != 3 {
		t.Errorf("%d foreign objects are listed: %+v", foreign, inv.Foreign)
	}
	still, err := h.Stranger.Observe(x.ctx, x.org)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(theirs, still, cmp.Comparer(sameAddress), cmp.Comparer(samePrefix)); diff != "" {
		t.Errorf("it was touched:\n%s", diff)
	}
}

func foreignOutlivesRemoval(t *testing.T, h Harness) {
	x := h.tenant(t)
	x.apply(x.stack)
	extra := berth.ContainerName(x.org) + "_app_9"
	h.Manual.Add(t, kindContainer, extra, nil)
	x.apply(x.stack) // it has a name of ours, and is not in the way
	err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org})
	wantCode(t, err, berth.CodeForeignObject)
	if o := x.observe(); o.Network || len(o.Instances) != 0 || len(o.Foreign) != 1 {
		t.Errorf("observed %+v", o)
	}
	if _, ok := h.Manual.Labels(t, kindContainer, extra); !ok {
		t.Error("the foreign container was removed")
	}
}

func killed(t *testing.T, h Harness) {
	x := h.tenant(t)
	first := x.apply(x.stack)
	x.runs(first)
	h.Manual.Kill(t, first.Instances[0].ID)
	x.ended(first.Instances[0])
	if c := x.observe().Instances[0]; !h.Replaces && (c.ExitCode != 137 || c.Address.IsValid()) {
		t.Errorf("observed %+v", c)
	}
	again := x.apply(x.stack)
	x.runs(again)
	if slices.Equal(ids(first), ids(again)) == h.Replaces {
		t.Error("the container was made anew, or was not by an engine that does")
	}
}

func removedContainer(t *testing.T, h Harness) {
	x := h.tenant(t)
	first := x.apply(x.stack)
	x.get(first.Instances[0], "/put?v=still")
	h.Manual.Remove(t, kindContainer, first.Instances[0].Name)
	x.stack.Volumes[0].Recorded = true
	o := x.apply(x.stack)
	x.runs(o)
	if got := x.get(o.Instances[0], "/get"); got != "still" {
		t.Errorf("the volume holds %q", got)
	}
}

func removedNetwork(t *testing.T, h Harness) {
	for name, run := range map[string]bool{"while it runs": true, "while it is stopped": false} {
		t.Run(name, func(t *testing.T) {
			x := h.tenant(t)
			x.runs(x.apply(x.stack))
			x.apply(x.next(func(s *berth.Stack) { s.Run = run }))
			h.Manual.Remove(t, kindNetwork, x.stack.Network)
			if x.observe().Network {
				t.Fatal("the network is still there")
			}
			o := x.apply(x.next(func(s *berth.Stack) { s.Run = true }))
			x.runs(o)
			if !o.Network || o.Subnet != x.stack.Subnet {
				t.Errorf("observed %+v", o)
			}
		})
	}
}

func listed(t *testing.T, h Harness) {
	run, stopped, volume, foreign := h.tenant(t), h.tenant(t), h.tenant(t), h.tenant(t)
	run.apply(run.stack)
	stopped.apply(stopped.next(func(s *berth.Stack) { s.Run = false }))
	volume.apply(volume.stack)
	if err := h.Engine.Remove(volume.ctx, berth.Removal{OrganizationID: volume.org}); err != nil {
		t.Fatal(err)
	}
	h.Manual.Add(t, kindVolume, "odd_"+foreign.org, map[string]string{berth.LabelTenantID: foreign.org})
	inv, err := h.Engine.List(run.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(inv.Tenants, func(a, b berth.Observed) int { return strings.Compare(a.OrganizationID, b.OrganizationID) }) {
		t.Error("the list is not sorted")
	}
	of := map[string]berth.Observed{}
	for _, o := range inv.Tenants {
		of[o.OrganizationID] = o
	}
	now := run.observe()
	if o := of[run.org]; len(o.Instances) != 1 || o.Instances[0].State != berth.InstanceRunning || !o.Network ||
		o.Subnet != run.stack.Subnet || o.Instances[0].Address != now.Instances[0].Address || o.Instances[0].Image != now.Instances[0].Image ||
		o.Instances[0].Hash != now.Instances[0].Hash || !slices.Equal(o.Volumes, now.Volumes) {
		t.Errorf("running: %+v, observed %+v", o, now)
	}
	if o := of[stopped.org]; len(o.Instances) != 1 || o.Instances[0].State != berth.InstanceCreated {
		t.Errorf("stopped: %+v", o)
	}
	if o := of[volume.org]; len(o.Instances) != 0 || o.Network || len(o.Volumes) != 1 {
		t.Errorf("volume only: %+v", o)
	}
	if _, ok := of[foreign.org]; ok || !slices.ContainsFunc(inv.Foreign, func(f berth.Foreign) bool {
		return f.OrganizationID == foreign.org && f.Kind == kindVolume && f.Reason != ""
	}) {
		t.Errorf("foreign: %+v", inv.Foreign)
	}
}

func watched(t *testing.T, h Harness) {
	x := h.tenant(t)
	x.apply(x.stack)
	ctx, cancel := context.WithCancel(x.ctx)
	hints := make(chan string, 100)
	ended, opened := make(chan error, 1), make(chan bool, 1)
	go func() {
		first := true
		ended <- h.Engine.Watch(ctx, func(hint berth.Hint) {
			if first {
				first = false
				opened <- hint.Opened
			}
			select {
			case hints <- hint.OrganizationID:
			default:
			}
		})
	}()
	select {
	case whole := <-opened:
		if !whole {
			t.Error("the first hint does not say that anything may have changed")
		}
	case err := <-ended:
		t.Fatalf("watching ended before the first hint: %v", err)
	}
	// Hints may be lost: kill until one comes.
	eventually(t, "there is a hint", func() bool {
		if s := x.observe().Instances; len(s) == 1 && s[0].State == berth.InstanceRunning {
			h.Manual.Kill(t, s[0].ID)
		} else {
			x.apply(x.stack)
		}
		for {
			select {
			case org := <-hints:
				if org == x.org {
					return true
				}
			default:
				return false
			}
		}
	})
	cancel()
	if err := <-ended; err == nil {
		t.Error("watching ended without an error")
	}
}

func resolved(t *testing.T, h Harness) {
	ctx := t.Context()
	pin, err := h.Engine.Resolve(ctx, h.Images.Local, nil, nil)
	if err != nil || pin != h.Images.App {
		t.Errorf("%s resolved to %q, %v", h.Images.Local, pin, err)
	}
	again, err := h.Engine.Resolve(ctx, pin, nil, nil)
	if err != nil || again != pin {
		t.Errorf("the pin %s resolved to %q, %v", pin, again, err)
	}
	for _, ref := range []string{"sha256:" + strings.Repeat("0", 64), "Not A Reference", "app:"} {
		_, err := h.Engine.Resolve(ctx, ref, nil, nil)
		wantCode(t, err, berth.CodeImageNotFound)
	}
}
