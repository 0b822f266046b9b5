package serve

import (
	"context"
	"log/slog"
	"os"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
	"github.com/unite-hub/berth/internal/trace"
)

// tracer shows deployments to whoever collects traces; its zero value nobody.
type tracer struct{ *trace.Tracer }

func newTracer(ctx context.Context, version string, log *slog.Logger) (tracer, error) {
	if !trace.Enabled(os.Getenv) {
		return tracer{}, nil
	}
	t, err := trace.New(ctx, version, log)
	return tracer{t}, err
}

func (t tracer) links() tenancy.Traces {
	if t.Tracer == nil {
		return nil
	}
	return t.Tracer
}

func (t tracer) record(d berth.Deployment) {
	if t.Tracer != nil {
		t.Record(d)
	}
}

func (t tracer) run(ctx context.Context) error {
	if t.Tracer == nil {
		return nil
	}
	return t.Run(ctx)
}
