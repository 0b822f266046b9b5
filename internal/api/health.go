package api

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

type healthInput struct {
	Target
	PageInput
	Hours int `query:"hours" default:"24" minimum:"1" maximum:"2160" doc:"that availability is summed over"`
}

type probeWire struct {
	CheckedAt       time.Time `json:"checkedAt"`
	Status          string    `json:"status"`
	ResponseTimeMs  *int64    `json:"responseTimeMs" doc:"null for a check of the engine's"`
	HTTPStatusCode  *int      `json:"httpStatusCode"`
	ErrorMessage    *string   `json:"errorMessage"`
	CPUUsagePercent *float64  `json:"cpuUsagePercent" doc:"of the whole tenant at that moment; 100 is one core; null if not known"`
	MemoryUsageMB   *int      `json:"memoryUsageMb"`
	DiskUsageMB     *int      `json:"diskUsageMb"`
	CheckType       string    `json:"checkType" doc:"http, tcp or engine"`
	CheckEndpoint   string    `json:"checkEndpoint"`
}

// tookOf is in whole milliseconds, rounded up as they are stored; nil for a check
// of the engine's, which is not timed.
func tookOf(d time.Duration) *int64 {
	if d <= 0 {
		return nil
	}
	ms := int64((d + time.Millisecond - 1) / time.Millisecond)
	return &ms
}

func probeOf(p berth.Probe) probeWire {
	w := probeWire{
		CheckedAt: p.CheckedAt, Status: string(p.Status), ResponseTimeMs: tookOf(p.ResponseTime), ErrorMessage: orNull(p.Cause),
		CPUUsagePercent: p.CPUPercent.Pointer(), MemoryUsageMB: p.MemoryMB.Pointer(), DiskUsageMB: p.DiskMB.Pointer(),
		CheckType: p.Type, CheckEndpoint: p.Endpoint,
	}
	if p.HTTPStatus != 0 {
		w.HTTPStatusCode = &p.HTTPStatus
	}
	return w
}

type healthWire struct {
	OrganizationID     string      `json:"organizationId"`
	HealthStatus       string      `json:"healthStatus"`
	LastChecksStatus   string      `json:"lastChecksStatus" doc:"what most of the last 5 checks within 5 minutes say: healthy, unhealthy, starting or unknown"`
	Healthy            *bool       `json:"healthy" doc:"null while that is not known"`
	LastHealthCheckAt  *time.Time  `json:"lastHealthCheckAt"`
	ResponseTimeMs     *int64      `json:"responseTimeMs" doc:"of the last probe"`
	Cause              *string     `json:"cause"`
	Hours              int         `json:"hours" doc:"whole ones that are over, which the next four sum up"`
	Availability       *float64    `json:"availability" doc:"share of healthy checks, 0 to 1; null without a check"`
	CheckCount         int         `json:"checkCount"`
	ResponseTimeMeanMs *float64    `json:"responseTimeMeanMs"`
	ResponseTimeMaxMs  *int64      `json:"responseTimeMaxMs"`
	Checks             []probeWire `json:"checks" doc:"a page of them, newest first"`
	NextCursor         *string     `json:"nextCursor" doc:"of older checks"`
}

func healthOf(sum tenancy.HealthSummary) healthWire {
	t := sum.Tenant
	w := healthWire{
		OrganizationID: t.OrganizationID, HealthStatus: string(t.Health), LastChecksStatus: string(sum.Status),
		LastHealthCheckAt: orNullTime(t.LastProbedAt), Cause: orNull(t.Cause), Hours: sum.Hours,
		Availability: sum.Period.Availability().Pointer(), CheckCount: sum.Period.Checks(), Checks: []probeWire{}, NextCursor: orNull(sum.Next),
	}
	if t.Health == berth.HealthHealthy || t.Health == berth.HealthUnhealthy {
		healthy := t.Health == berth.HealthHealthy
		w.Healthy = &healthy
	}
	if mean := sum.Period.ResponseMean(); mean.Known {
		ms, most := float64(mean.Value)/float64(time.Millisecond), sum.Period.ResponseMax.Milliseconds()
		w.ResponseTimeMeanMs, w.ResponseTimeMaxMs = &ms, &most
	}
	for _, p := range sum.Last {
		w.Checks = append(w.Checks, probeOf(p))
	}
	if sum.Newest != nil {
		w.ResponseTimeMs = tookOf(sum.Newest.ResponseTime)
	}
	return w
}

type sweepInput struct {
	Limit int `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"tenants that are listed; all are checked"`
}

type sweptWire struct {
	OrganizationID string     `json:"organizationId"`
	Slug           string     `json:"slug"`
	TenantName     string     `json:"tenantName"`
	Healthy        *bool      `json:"healthy" doc:"null if it could not be asked"`
	Check          *probeWire `json:"check"`
}

type sweepWire struct {
	CheckedAt  time.Time   `json:"checkedAt"`
	DurationMs int64       `json:"durationMs"`
	Checked    int         `json:"checked" doc:"running tenants that were asked"`
	Healthy    int         `json:"healthy"`
	Unhealthy  int         `json:"unhealthy"`
	Timeout    int         `json:"timeout"`
	Unknown    int         `json:"unknown" doc:"running tenants that could not be asked"`
	Tenants    []sweptWire `json:"tenants" doc:"those that are not well first"`
	Omitted    int         `json:"omitted" doc:"tenants beyond limit"`
}

func sweepOf(s berth.Sweep) sweepWire {
	w := sweepWire{
		CheckedAt: s.At, DurationMs: s.Took.Milliseconds(), Checked: s.Healthy + s.Unhealthy + s.Timeouts,
		Healthy: s.Healthy, Unhealthy: s.Unhealthy, Timeout: s.Timeouts, Unknown: s.Unknown,
		Tenants: make([]sweptWire, 0, len(s.Tenants)), Omitted: s.Omitted,
	}
	for _, one := range s.Tenants {
		row := sweptWire{OrganizationID: one.Tenant.OrganizationID, Slug: one.Tenant.Slug, TenantName: one.Tenant.Name}
		if one.Probe != nil {
			check, healthy := probeOf(*one.Probe), one.Probe.Status == berth.ProbeHealthy
			row.Check, row.Healthy = &check, &healthy
		}
		w.Tenants = append(w.Tenants, row)
	}
	return w
}

// healthRoutes show how tenants are and were.
func (s *server) healthRoutes() {
	secured(s, get(tenantPath+"/health", "health", "What is known of the tenant's health, and its last probes"), func(ctx context.Context, actor berth.Actor, in *healthInput) (*body[healthWire], error) {
		sum, err := s.Service.HealthSummary(ctx, actor, in.Ref, in.Hours, in.page())
		if err != nil {
			return nil, err
		}
		return &body[healthWire]{healthOf(sum)}, nil
	})
	secured(s, get("/api/tenants/health-check", "sweep", "Probe every running tenant once, now"), func(ctx context.Context, actor berth.Actor, in *sweepInput) (*body[sweepWire], error) {
		out, err := s.Service.SweepHealth(ctx, actor, in.Limit)
		if err != nil {
			return nil, err
		}
		return &body[sweepWire]{sweepOf(out)}, nil
	})
}
