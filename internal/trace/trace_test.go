package trace_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	id  = "550e8400-e29b-41d4-a716-4466554400aa"
	org = "550e8400-e29b-41d4-a716-446655440001"
)

// receiver is a collector.
type receiver struct {
	mu     sync.Mutex
	spans  []*otlp.Span
	paths  []string
	of     map[string]string // attributes of the resource
	status int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, req.URL.Path)
	if r.status != 0 {
		w.WriteHeader(r.status)
		return
	}
	var in io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		in, _ = gzip.NewReader(req.Body)
	}
	data, err := io.ReadAll(in)
	var m collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(data, &m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.of = map[string]string{}
	for _, rs := range m.ResourceSpans {
		for _, a := range rs.Resource.Attributes {
			r.of[a.Key] = a.Value.GetStringValue()
		}
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(nil)
}

// export has a Tracer record deployments, with callers' spans by deployment,
// and returns what a collector got and what was logged.
func export(t *testing.T, r *receiver, links map[string]string, list ...berth.Deployment) string {
	t.Helper()
	server := httptest.NewServer(r)
	defer server.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	var log bytes.Buffer
	tracer, err := trace.New(t.Context(), "v1", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for id, parent := range links {
		tracer.Link(id, parent)
	}
	for _, d := range list {
		tracer.Record(d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tracer.Run(ctx); err != nil {
		t.Error(err)
	}
	return log.String()
}

func (r *receiver) span(t *testing.T, name string) *otlp.Span {
	t.Helper()
	for _, s := range r.spans {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no span %s among %v", name, r.spans)
	return nil
}

func attributes(s *otlp.Span) map[string]any {
	m := map[string]any{}
	for _, a := range s.Attributes {
		if m[a.Key] = a.Value.GetStringValue(); m[a.Key] == "" {
			m[a.Key] = a.Value.GetIntValue()
		}
	}
	return m
}

var begin = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func deployment() berth.Deployment {
	return berth.Deployment{
		ID: id, OrganizationID: org, Type: berth.DeployUpdate, Status: berth.DeploymentFailed, Generation: 3, Error: "did not get healthy",
		New:       berth.Spec{Environment: map[string]string{"KEY": "sekrit"}},
		CreatedAt: begin, StartedAt: begin.Add(time.Second), CompletedAt: begin.Add(9 * time.Second),
		Steps: []berth.DeploymentStep{
			{Name: "pull", StartedAt: begin.Add(time.Second), EndedAt: begin.Add(4 * time.Second)},
			{Name: "probe", StartedAt: begin.Add(4 * time.Second), EndedAt: begin.Add(8 * time.Second), Error: "answered 500"},
			{Name: "revert", StartedAt: begin.Add(8 * time.Second)},
		},
	}
}

func TestADeploymentIsARootSpanWithAChildPerStep(t *testing.T) {
	r := &receiver{}
	log := export(t, r, nil, deployment())
	if len(r.spans) != 4 || log != "" || r.paths[0] != "/v1/traces" {
		t.Fatalf("%d spans at %v; log %q", len(r.spans), r.paths, log)
	}
	if r.of["service.name"] != "berth" || r.of["service.version"] != "v1" {
		t.Errorf("resource %v", r.of)
	}
	root := r.span(t, "deploy")
	for name, want := range map[string]any{
		"berth.tenant.id": org, "berth.deployment.id": id, "berth.deployment.type": "update",
		"berth.deployment.generation": int64(3), "berth.deployment.outcome": "failed",
	} {
		if got := attributes(root)[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if hex.EncodeToString(root.TraceId) != strings.ReplaceAll(id, "-", "") || len(root.ParentSpanId) != 0 {
		t.Errorf("trace %x below %x: not found by the deployment's id", root.TraceId, root.ParentSpanId)
	}
	if root.Status.Code != otlp.Status_STATUS_CODE_ERROR || root.Status.Message != "did not get healthy" {
		t.Errorf("status %v", root.Status)
	}
	for name, want := range map[string][2]int{"deploy": {0, 9}, "pull": {1, 4}, "probe": {4, 8}, "revert": {8, 9}} {
		s := r.span(t, name)
		from, to := time.Unix(0, int64(s.StartTimeUnixNano)).Sub(begin).Seconds(), time.Unix(0, int64(s.EndTimeUnixNano)).Sub(begin).Seconds()
		if from != float64(want[0]) || to != float64(want[1]) {
			t.Errorf("%s from %v to %v, want %v", name, from, to, want)
		}
		if name != "deploy" && (!bytes.Equal(s.ParentSpanId, root.SpanId) || !bytes.Equal(s.TraceId, root.TraceId)) {
			t.Errorf("%s is not below the deployment", name)
		}
	}
	if s := r.span(t, "probe").Status; s.GetCode() != otlp.Status_STATUS_CODE_ERROR || s.GetMessage() != "answered 500" {
		t.Errorf("probe: %v", s)
	}
	if s := r.span(t, "pull").Status; s.GetCode() != otlp.Status_STATUS_CODE_UNSET {
		t.Errorf("pull: %v", s)
	}
	for _, s := range r.spans {
		if strings.Contains(s.String(), "sekrit") || strings.Contains(s.String(), "KEY") {
			t.Errorf("a variable is shown: %v", s)
		}
	}
}

func TestTheCallersSpanIsTheParent(t *testing.T) {
	const caller, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	r := &receiver{}
	export(t, r, map[string]string{id: "00-" + caller + "-" + span + "-01"}, deployment())
	root := r.span(t, "deploy")
	if hex.EncodeToString(root.TraceId) != caller || hex.EncodeToString(root.ParentSpanId) != span {
		t.Errorf("trace %x below %x", root.TraceId, root.ParentSpanId)
	}
}

func TestWhatIsNoTraceparentIsIgnored(t *testing.T) {
	for _, bad := range []string{"", "nonsense", "00-00000000000000000000000000000000-b7ad6b7169203331-01", strings.Repeat("x", 10000)} {
		r := &receiver{}
		export(t, r, map[string]string{id: bad}, deployment())
		if root := r.span(t, "deploy"); len(root.ParentSpanId) != 0 {
			t.Errorf("%.20q: below %x", bad, root.ParentSpanId)
		}
	}
}

func TestWhoDoesNotSampleGetsNoSpans(t *testing.T) {
	r := &receiver{}
	export(t, r, map[string]string{id: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}, deployment())
	if len(r.spans) != 0 {
		t.Errorf("%v", r.spans)
	}
}

func TestOtherOutcomes(t *testing.T) {
	r := &receiver{}
	done, superseded, pending, cancelled := deployment(), deployment(), deployment(), deployment()
	cancelled.Type = berth.DeployRollback
	cancelled.Cancel("ada", cancelled.CreatedAt.Add(time.Second))
	done.Type, done.Status, done.Error = berth.DeployProvision, berth.DeploymentCompleted, ""
	superseded.Type, superseded.Status, superseded.Error = berth.DeployScale, berth.DeploymentSuperseded, "replaced by an order to stop"
	pending.Type, pending.Status = berth.DeployRestart, berth.DeploymentPending
	export(t, r, nil, done, superseded, pending, cancelled)
	if s := r.span(t, "rollback"); s.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR || s.Status.GetMessage() != "cancelled by ada" || attributes(s)["berth.deployment.outcome"] != "cancelled" {
		t.Errorf("%v", s)
	}
	if s := r.span(t, "provision"); s.Status.GetCode() != otlp.Status_STATUS_CODE_UNSET || attributes(s)["berth.deployment.outcome"] != "completed" {
		t.Errorf("%v", s)
	}
	if s := r.span(t, "scale"); s.Status.GetCode() != otlp.Status_STATUS_CODE_UNSET || attributes(s)["berth.deployment.cause"] != "replaced by an order to stop" {
		t.Errorf("%v", s)
	}
	for _, s := range r.spans {
		if s.Name == "restart" {
			t.Error("a deployment under way has a span")
		}
	}
}

func TestACollectorThatRefusesIsLoggedNotFatal(t *testing.T) {
	log := export(t, &receiver{status: http.StatusBadRequest}, nil, deployment())
	if !strings.Contains(log, "spans dropped") || !strings.Contains(log, "spans=4") {
		t.Errorf("log %q", log)
	}
}

func TestItIsOnOnlyWhereACollectorIsNamed(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x/v1/traces"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, false},
	} {
		if got := trace.Enabled(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}
