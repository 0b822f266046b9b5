package reconcile

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
)

// held is an engine that keeps whoever asks, and counts them.
type held struct {
	Engine
	asked chan struct{}
	goOn  chan struct{}
}

func (h held) Info(context.Context) (berth.EngineInfo, error) {
	h.asked <- struct{}{}
	<-h.goOn
	return berth.EngineInfo{}, context.Canceled // what comes next is of no interest
}

// A dry run comes by none of the engine's lanes, and whoever may order may try: as
// often as they like, and at once.
func TestDryRunsLookAtTheEngineOneOfATenantAndFourInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tries, tenants = 50, 20
		h := held{asked: make(chan struct{}, tries*tenants), goOn: make(chan struct{})}
		v := NewPreviewer(Config{}, Parts{Engine: h})
		ctx, cancel := context.WithCancel(t.Context())
		preview := func(tenant int) {
			_, _ = v.Preview(ctx, berth.Tenant{OrganizationID: fmt.Sprint(tenant)}, berth.Deployment{}, nil)
		}
		for range tries {
			go preview(0)
		}
		synctest.Wait()
		if n := len(h.asked); n != 1 {
			t.Errorf("%d dry runs of one tenant at a time", n)
		}
		for n := range tenants {
			go preview(n + 1)
		}
		synctest.Wait()
		if n := len(h.asked); n != mostPreviews {
			t.Errorf("%d dry runs at a time", n)
		}
		for range 10 { // each gives its place to another
			h.goOn <- struct{}{}
		}
		synctest.Wait()
		if n := len(h.asked); n != mostPreviews+10 {
			t.Errorf("%d asked after ten were answered", n)
		}
		cancel() // those who wait leave
		for range mostPreviews {
			h.goOn <- struct{}{}
		}
		synctest.Wait()
		if len(v.underWay) != 0 || len(v.places) != 0 {
			t.Errorf("%d and %d are under way in the end", len(v.underWay), len(v.places))
		}
	})
}

func TestDryRunsThatHangMakeNobodyElseWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hanging = 3 * mostPreviews
		h := held{asked: make(chan struct{}, hanging), goOn: make(chan struct{})}
		v := NewPreviewer(Config{}, Parts{Engine: h})
		for n := range hanging {
			go func() {
				_, _ = v.Preview(t.Context(), berth.Tenant{OrganizationID: fmt.Sprint(n)}, berth.Deployment{}, nil)
			}()
		}
		<-time.After(2*previewPlace + time.Millisecond)
		if n := len(h.asked); n != hanging {
			t.Errorf("%d of %d asked within two seconds", n, hanging)
		}
		for range hanging {
			h.goOn <- struct{}{}
		}
		synctest.Wait()
		if len(v.underWay) != 0 || len(v.places) != 0 {
			t.Errorf("%d and %d are under way in the end", len(v.underWay), len(v.places))
		}
	})
}
