package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/metrics"
)

// metricsRoute is what Prometheus scrapes, with a token like everyone. An actor
// that may see one organization sees its series and nothing of the host.
func (s *server) metricsRoute() {
	process := metrics.Process()
	op := get("/metrics", "prometheus", "Everything that is measured, for Prometheus")
	op.Tags = []string{"operator"}
	op.Responses = textual("text/plain")
	secured(s, op, func(ctx context.Context, actor berth.Actor, _ *none) (*huma.StreamResponse, error) {
		fleet, err := s.Service.Fleet(ctx, actor)
		if err != nil {
			return nil, err
		}
		f := metrics.Fleet{MostTenants: s.MostTenants, Tenants: make([]metrics.Tenant, 0, len(fleet))}
		for _, m := range fleet {
			f.Tenants = append(f.Tenants, metrics.Tenant(m))
		}
		if actor.OrganizationID == "" {
			info, up := s.Service.EngineInfo()
			f.Host = &metrics.Host{EngineUp: up, Engine: info.Name, Version: s.Version, Commit: s.Commit}
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			r, w := humago.Unwrap(hctx)
			metrics.Handler(f, process).ServeHTTP(w, r)
		}}, nil
	})
}
