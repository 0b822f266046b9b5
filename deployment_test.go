package berth_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/unite-hub/berth"
)

func good(id, digest string) berth.Deployment {
	return berth.Deployment{ID: id, Type: berth.DeployUpdate, Status: berth.DeploymentCompleted, CanRollback: true,
		New: berth.Spec{ImageDigest: digest}}
}

func back(id, to, digest string) berth.Deployment {
	d := good(id, digest)
	d.Type, d.RollbackOf = berth.DeployRollback, to
	return d
}

func TestRollbackGoesOneFurtherBackEachTime(t *testing.T) {
	failed := good("f", "x")
	failed.Status, failed.CanRollback = berth.DeploymentFailed, false
	stopped := good("s", "3")
	stopped.Type, stopped.CanRollback = berth.DeployStop, false
	restarted := good("r", "3")
	restarted.Type = berth.DeployRestart
	for name, c := range map[string]struct {
		history []berth.Deployment // newest first
		id      string
		want    string
	}{
		"to the one before":              {[]berth.Deployment{good("3", "3"), good("2", "2"), good("1", "1")}, "", "2"},
		"again, one further":             {[]berth.Deployment{back("4", "2", "2"), good("3", "3"), good("2", "2"), good("1", "1")}, "", "1"},
		"and again there is none":        {[]berth.Deployment{back("5", "1", "1"), back("4", "2", "2"), good("3", "3"), good("2", "2"), good("1", "1")}, "", ""},
		"not to a failed one":            {[]berth.Deployment{good("3", "3"), failed, good("1", "1")}, "", "1"},
		"not past a failed one":          {[]berth.Deployment{failed, good("3", "3"), good("1", "1")}, "", "1"},
		"not to a stop or a restart":     {[]berth.Deployment{stopped, restarted, good("3", "3"), good("1", "1")}, "", "1"},
		"a deploy after a rollback":      {[]berth.Deployment{good("5", "5"), back("4", "2", "2"), good("3", "3"), good("2", "2")}, "", "2"},
		"nothing before the first":       {[]berth.Deployment{good("1", "1")}, "", ""},
		"to the one named":               {[]berth.Deployment{good("3", "3"), good("2", "2"), good("1", "1")}, "1", "1"},
		"not to a failed one by name":    {[]berth.Deployment{good("3", "3"), failed}, "f", ""},
		"not to one that does not exist": {[]berth.Deployment{good("3", "3")}, "9", ""},
		"not without any history":        {nil, "", ""},
	} {
		got, err := berth.RollbackTarget(c.history, c.id)
		if c.want == "" && err == nil || c.want != "" && (err != nil || got.ID != c.want) {
			t.Errorf("%s: got %q, %v; want %q", name, got.ID, err, c.want)
		}
	}
}

func TestOnlyAChangeOfWhatRunsRevertsWhenItFails(t *testing.T) {
	for kind, want := range map[berth.DeploymentType]bool{
		berth.DeployProvision: false, berth.DeployUpdate: true, berth.DeployRestart: false, berth.DeployScale: true,
		berth.DeployRollback: true, berth.DeployConfig: true, berth.DeployStop: false, berth.DeployDeprovision: false,
	} {
		d := berth.Deployment{Type: kind, Previous: &berth.Spec{}}
		if d.Reverts() != want {
			t.Errorf("%s reverts: %v", kind, d.Reverts())
		}
	}
}

func TestWhateverElseIsDroppedARollbackGoesWhereItWent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rollbacks := 0
	for range 5000 {
		var history []berth.Deployment // oldest first
		for i := range 2 + r.IntN(20) {
			d := berth.Deployment{ID: fmt.Sprint(i), Status: berth.DeploymentCompleted, CanRollback: r.IntN(8) > 0}
			d.New.ImageDigest = fmt.Sprint(r.IntN(4))
			if r.IntN(3) == 0 {
				d.Status, d.CanRollback = berth.DeploymentFailed, false
			}
			if i > 0 && r.IntN(4) == 0 { // to what is no rollback, as a rollback without an id goes
				if to := history[r.IntN(i)]; to.CanRollback && to.RollbackOf == "" {
					d.RollbackOf, d.New = to.ID, to.New
				}
			}
			history = append(history, d)
		}
		slices.Reverse(history)
		needed := berth.RollbackNeeds(history)
		keep := r.IntN(len(history))
		newest := history[:keep]
		var left []berth.Deployment
		for i, d := range history {
			backed := slices.ContainsFunc(newest, func(n berth.Deployment) bool { return n.RollbackOf == d.ID })
			if i < keep || backed || slices.Contains(needed, d.ID) {
				left = append(left, d)
			}
		}
		want, was := berth.RollbackTarget(history, "")
		got, is := berth.RollbackTarget(left, "")
		if got.ID != want.ID || (was == nil) != (is == nil) {
			t.Fatalf("a rollback went to %q, %v, and goes to %q, %v\nof %+v\nstay %+v", want.ID, was, got.ID, is, history, left)
		}
		if was == nil {
			rollbacks++
		}
	}
	if rollbacks < 1000 {
		t.Errorf("only %d could be rolled back", rollbacks)
	}
}
