package enginetest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unite-hub/berth"
)

func changedByHand(t *testing.T, h Harness) {
	for name, c := range map[string]struct {
		change func(t testing.TB, name string)
		differ bool // told as a difference; else by its state
	}{
		"cut off its network":            {h.Manual.CutOff, true},
		"connected to another network":   {h.Manual.Join, true},
		"without its limit of processes": {h.Manual.Unlimit, true},
		"paused":                         {h.Manual.Pause, false},
	} {
		t.Run(name, func(t *testing.T) {
			x := h.tenant(t)
			first := x.apply(x.stack).Instances[0]
			if len(first.Differs) != 0 {
				t.Fatalf("as it was made it differs: %v", first.Differs)
			}
			c.change(t, first.Name)
			seen := x.observe().Instances[0]
			if c.differ != (len(seen.Differs) > 0) || !c.differ && seen.State != berth.InstancePaused {
				t.Errorf("it is seen as %s, differing in %q", seen.State, seen.Differs)
			}
			o := x.apply(x.stack)
			x.runs(o)
			if o = x.observe(); len(o.Instances) != 1 || len(o.Instances[0].Differs) != 0 {
				t.Errorf("afterwards: %+v", o.Instances)
			}
		})
	}
}

// A closer look at what was listed finds what a look finds; what is gone by then
// is left out.
func listedCloser(t *testing.T, h Harness) {
	x := h.tenant(t)
	closer, able := x.Engine.(interface {
		Inspect(ctx context.Context, listed berth.Observed) (berth.Observed, error)
	})
	if !able {
		return
	}
	x.runs(x.apply(x.stack))
	inv, err := x.Engine.List(x.ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(inv.Tenants, func(o berth.Observed) bool { return o.OrganizationID == x.org })
	if i < 0 {
		t.Fatal("it is not listed")
	}
	for _, gone := range []bool{false, true} {
		want := x.observe()
		if gone {
			h.Manual.Remove(t, "container", want.Instances[0].Name)
			want.Instances = nil
		}
		got, err := closer.Inspect(x.ctx, inv.Tenants[i])
		if diff := cmp.Diff(want, got, cmp.Comparer(sameAddress), cmp.Comparer(samePrefix)); diff != "" || err != nil {
			t.Errorf("removed: %t: %v %s", gone, err, diff)
		}
	}
}

func volumeHeld(t *testing.T, h Harness) {
	x := h.tenant(t)
	first := x.apply(x.stack).Instances[0]
	x.get(first, "/put?v=mine")
	holder := "renamed-" + x.org
	h.Manual.Rename(t, first.Name, holder)
	err := x.fails(berth.CodeForeignObject, x.stack)
	if !strings.Contains(err.Error(), holder) || !strings.Contains(err.Error(), x.stack.Volumes[0].Name) {
		t.Errorf("the error does not name volume and holder: %v", err)
	}
	if o := x.observe(); len(o.Instances) != 0 {
		t.Errorf("beside the holder there is %+v", o.Instances)
	}
	h.Manual.Rename(t, holder, first.Name)
	o := x.apply(x.stack)
	x.runs(o)
	if got := x.get(o.Instances[0], "/get"); got != "mine" || o.Instances[0].ID != first.ID {
		t.Errorf("with its name again it is %s and has %q", o.Instances[0].ID, got)
	}
}
