package berth_test

import (
	"testing"

	"github.com/unite-hub/berth"
)

// statuses are all, in the order of a tenant's life.
var statuses = []berth.Status{berth.StatusPending, berth.StatusProvisioning, berth.StatusRunning, berth.StatusStopped,
	berth.StatusSleeping, berth.StatusFailed, berth.StatusDeprovisioning}

var orders = []berth.Order{berth.OrderStart, berth.OrderStop, berth.OrderRestart, berth.OrderScale, berth.OrderDeploy, berth.OrderRollback,
	berth.OrderConfigure, berth.OrderDeprovision}

func TestEveryOrderIsTakenOrRefusedAsTheTableSays(t *testing.T) {
	const ok = berth.Code("")
	gone, running, stopped := berth.CodeDeprovisioning, berth.CodeAlreadyRunning, berth.CodeAlreadyStopped
	want := map[berth.Order][]berth.Code{
		//                       pending provisioning running stopped sleeping failed deprovisioning
		berth.OrderStart:       {ok, ok, running, ok, ok, ok, gone},
		berth.OrderStop:        {ok, ok, ok, stopped, ok, ok, gone},
		berth.OrderRestart:     {ok, ok, ok, ok, ok, ok, gone},
		berth.OrderScale:       {ok, ok, ok, ok, ok, ok, gone},
		berth.OrderDeploy:      {ok, ok, ok, ok, ok, ok, gone},
		berth.OrderRollback:    {ok, ok, ok, ok, ok, ok, gone},
		berth.OrderConfigure:   {ok, ok, ok, ok, ok, ok, gone},
		berth.OrderDeprovision: {ok, ok, ok, ok, ok, ok, ok},
	}
	if len(want) != len(orders) {
		t.Fatalf("the table has %d orders, there are %d", len(want), len(orders))
	}
	for _, order := range orders {
		for i, status := range statuses {
			if got := berth.CodeOf(status.Refusal(order)); got != want[order][i] {
				t.Errorf("%s while %s: %q, want %q", order, status, got, want[order][i])
			}
		}
	}
}

func TestOnlyStopAndDeprovisionReplaceADeploymentUnderWay(t *testing.T) {
	for _, o := range orders {
		want := o == berth.OrderStop || o == berth.OrderDeprovision
		if o.Overrides() != want {
			t.Errorf("%s overrides: %v", o, o.Overrides())
		}
	}
}
