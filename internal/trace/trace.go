// Package trace shows where a deployment's time went, as OpenTelemetry spans.
// They are made after the fact, of what a deployment records: nothing is kept
// open across a restart of Berth, and nothing that was not recorded is shown.
package trace

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/unite-hub/berth"
)

// Enabled reports whether the environment names a collector. The exporter
// reads these and its other OTEL_* variables by itself.
func Enabled(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// mostLinks bounds what is remembered of callers whose deployment is not over.
const mostLinks = 10_000

// longestLink is more than a traceparent has, which is 55 bytes, and leaves
// room for what later versions add.
const longestLink = 128

// lastExport is how long the end waits for spans to go out.
const lastExport = 5 * time.Second

// Tracer sends the spans of deployments to a collector. Its methods may be
// called concurrently and never wait for the collector; spans that it does not
// take are dropped, and that is logged.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer

	mu    sync.Mutex
	links map[string]string // deployment id to traceparent, in memory only
}

// New returns a Tracer that exports over OTLP/HTTP as the environment says. It
// has a goroutine that Run ends.
func New(ctx context.Context, version string, log *slog.Logger) (*Tracer, error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("trace exporter: %w", err)
	}
	// What the environment says (OTEL_SERVICE_NAME) comes last, and wins.
	of, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "berth"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("trace resource: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(logged{exporter, log}), sdk.WithResource(of), sdk.WithIDGenerator(ids{}))
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/unite-hub/berth"), links: map[string]string{}}, nil
}

// Run waits for the end, and then for what is still to be sent.
func (t *Tracer) Run(ctx context.Context) error {
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastExport)
	defer cancel()
	return t.provider.Shutdown(last)
}

// Link remembers which span ordered a deployment. The first one stays.
func (t *Tracer) Link(deploymentID, traceparent string) {
	if len(traceparent) > longestLink {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, there := t.links[deploymentID]; !there && len(t.links) < mostLinks {
		t.links[deploymentID] = traceparent
	}
}

// Record makes spans of a deployment that is over: one for the whole, from the
// order to its outcome, and one below it for each step. Without a caller's span
// the trace has the deployment's id, so that it is found by it.
func (t *Tracer) Record(d berth.Deployment) {
	if !d.Over() {
		return
	}
	t.mu.Lock()
	traceparent := t.links[d.ID]
	delete(t.links, d.ID)
	t.mu.Unlock()

	ctx := propagation.TraceContext{}.Extract(context.WithValue(context.Background(), traceKey{}, traceOf(d.ID)),
		propagation.MapCarrier{"traceparent": traceparent})
	end, outcome := d.CompletedAt, string(d.Status)
	if d.Cancelled() {
		outcome = "cancelled"
	}
	ctx, root := t.tracer.Start(ctx, nameOf(d.Type), trace.WithTimestamp(d.CreatedAt), trace.WithAttributes(
		attribute.String("berth.tenant.id", d.OrganizationID),
		attribute.String("berth.deployment.id", d.ID),
		attribute.String("berth.deployment.type", string(d.Type)),
		attribute.Int("berth.deployment.generation", d.Generation),
		attribute.String("berth.deployment.outcome", outcome),
	))
	if !d.StartedAt.IsZero() {
		root.AddEvent("taken up", trace.WithTimestamp(d.StartedAt))
	}
	for _, s := range d.Steps {
		_, span := t.tracer.Start(ctx, s.Name, trace.WithTimestamp(s.StartedAt))
		if s.Error != "" {
			span.SetStatus(codes.Error, s.Error)
		}
		if s.EndedAt.IsZero() {
			s.EndedAt = end // cut off
		}
		span.End(trace.WithTimestamp(s.EndedAt))
	}
	switch {
	case d.Status == berth.DeploymentFailed, d.Cancelled():
		root.SetStatus(codes.Error, d.Error)
	case d.Status == berth.DeploymentSuperseded:
		root.SetAttributes(attribute.String("berth.deployment.cause", d.Error))
	}
	root.End(trace.WithTimestamp(end))
}

// nameOf is what an operator calls the order.
func nameOf(t berth.DeploymentType) string {
	if t == berth.DeployUpdate {
		return "deploy"
	}
	return string(t)
}

// logged tells of spans that could not be sent, once per batch, in place of
// OpenTelemetry's own process-wide log.
type logged struct {
	sdk.SpanExporter
	log *slog.Logger
}

func (l logged) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if err := l.SpanExporter.ExportSpans(ctx, spans); err != nil {
		l.log.Warn("spans dropped: the collector did not take them", "spans", len(spans), "error", err)
	}
	return nil
}

type traceKey struct{} // of the trace's id: the SDK hands its id generator a context only

// traceOf is a deployment's id, which is 16 bytes as a trace's is.
func traceOf(deploymentID string) (id trace.TraceID) {
	data, err := hex.DecodeString(strings.ReplaceAll(deploymentID, "-", ""))
	if err != nil || len(data) != len(id) {
		return trace.TraceID{}
	}
	return trace.TraceID(data)
}

// ids generates span ids at random and takes a trace's from the context.
type ids struct{}

// NewIDs implements sdk.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, _ := ctx.Value(traceKey{}).(trace.TraceID)
	if !id.IsValid() {
		id = traceOf(berth.NewID())
	}
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	random := traceOf(berth.NewID())
	copy(id[:4], random[:4]) // bytes 6 and 8 of a UUID are not wholly random
	copy(id[4:], random[12:])
	if !id.IsValid() {
		id[0] = 1
	}
	return id
}
