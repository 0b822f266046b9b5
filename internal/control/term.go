package control

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
)

// Loop is the loop of a term, as far as it is run and looked at here.
type Loop interface {
	Run(ctx context.Context, ready func()) error
	Enqueue(organizationID string)
	Await(ctx context.Context, deploymentID string) error
	Look(ctx context.Context, organizationID string) (berth.Observed, error)
	Progress(deploymentID string) (p berth.Progress, ok bool)
	EngineInfo() (info berth.EngineInfo, ok bool)
	Fleet() []*berth.Member
}

// Edge is the edge of a term. Its Run closes its ports when ctx ends, and
// returns when the requests under way are finished.
type Edge interface {
	Ports
	Run(ctx context.Context) error
	Inside(src netip.Addr) bool
}

// Meter is the meter of a term.
type Meter interface {
	Run(ctx context.Context) error
	Now(organizationID string) (r berth.Reading, ok bool)
	Readings() []berth.Reading
}

// Monitor watches the health of a term's fleet.
type Monitor interface {
	Run(ctx context.Context) error
}

// Term is the parts that touch engine and edge, made anew for each time in which
// this control plane leads, as at a start of the process.
type Term struct {
	Loop    Loop
	Edge    Edge
	Meter   Meter
	Monitor Monitor
	Close   func() error // releases what was made for the term; called when all parts but the edge have ended
}

// run leads until ctx ends. ready is called once the routes of all tenants are
// in force. The requests that the edge has then are finished after run returns,
// and edges counts them: its ports are closed, so that whoever leads next can
// open them.
func (t *Term) run(ctx context.Context, ready func(), edges *sync.WaitGroup, log *slog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	broken := make(chan error, 1)
	edges.Go(func() {
		err := t.Edge.Run(ctx)
		if err != nil && ctx.Err() != nil {
			log.Warn("edge did not end well", "error", err)
		}
		broken <- err
	})
	g.Go(func() error {
		select {
		case err := <-broken:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error { return t.Loop.Run(ctx, ready) })
	g.Go(func() error { return t.Monitor.Run(ctx) })
	g.Go(func() error { return t.Meter.Run(ctx) })
	err := g.Wait()
	if closed := t.Close(); closed != nil {
		log.Warn("what a term had open could not be closed", "error", closed)
	}
	return err
}
