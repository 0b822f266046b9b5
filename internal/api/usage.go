package api

import (
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

// metricsWire is what a tenant uses now. Unknown is null, never 0.
type metricsWire struct {
	OrganizationID     string     `json:"organizationId"`
	Slug               string     `json:"slug"`
	TenantName         string     `json:"tenantName"`
	Status             string     `json:"status"`
	HealthStatus       string     `json:"healthStatus"`
	ReadAt             *time.Time `json:"readAt" doc:"null if nothing was read yet, or nothing runs"`
	Containers         *int       `json:"containers" doc:"that were read"`
	CPUPercent         *float64   `json:"cpuPercent" doc:"100 is one core; between the two newest samples"`
	CPULimit           float64    `json:"cpuLimit" doc:"cores"`
	MemoryUsageMB      *float64   `json:"memoryUsageMb" doc:"1 MB is 1,048,576 bytes; without page cache that the kernel can take back"`
	MemoryLimitMB      *float64   `json:"memoryLimitMb" doc:"in force"`
	Pids               *int64     `json:"pids"`
	DiskUsageMB        *float64   `json:"diskUsageMb" doc:"of volumes and writable layers, as last measured"`
	CPUSeconds         *float64   `json:"cpuSeconds" doc:"this and what follows counts since Berth began to watch; it begins anew with Berth"`
	CPUThrottlingCount *int64     `json:"cpuThrottlingCount" doc:"periods of 100 ms in which more was wanted than the limit gives"`
	OOMKillCount       *int64     `json:"oomKillCount"`
	NetworkRxBytes     *int64     `json:"networkRxBytes"`
	NetworkTxBytes     *int64     `json:"networkTxBytes"`
	DiskReadBytes      *int64     `json:"diskReadBytes"`
	DiskWriteBytes     *int64     `json:"diskWriteBytes"`
	RequestCount       *int64     `json:"requestCount" doc:"that came through the edge"`
	ErrorCount         *int64     `json:"errorCount" doc:"answers of 500 and above, and requests without an answer"`
	AvgResponseTimeMs  *float64   `json:"avgResponseTimeMs" doc:"until the end of the answer's headers"`
}

func metricsOf(m tenancy.Metered) metricsWire {
	t, r := m.Tenant, m.Reading
	w := metricsWire{
		OrganizationID: t.OrganizationID, Slug: t.Slug, TenantName: t.Name, Status: string(t.Status), HealthStatus: string(t.Health),
		CPULimit: t.Spec.Limits.CPU,
	}
	if !m.Read {
		return w
	}
	w.ReadAt, w.Containers = orNullTime(r.At), &r.Containers
	w.CPUPercent, w.CPUSeconds = hundredths(r.CPUPercent), hundredths(r.CPUSeconds)
	w.MemoryUsageMB, w.MemoryLimitMB, w.DiskUsageMB = inMB(r.MemoryBytes), inMB(r.MemoryLimit), inMB(r.DiskBytes)
	w.Pids, w.CPUThrottlingCount, w.OOMKillCount = r.Pids.Pointer(), r.Throttled.Pointer(), r.OOMKills.Pointer()
	w.NetworkRxBytes, w.NetworkTxBytes = r.NetworkRx.Pointer(), r.NetworkTx.Pointer()
	w.DiskReadBytes, w.DiskWriteBytes = r.DiskRead.Pointer(), r.DiskWritten.Pointer()
	w.RequestCount, w.ErrorCount = &r.Traffic.Requests, &r.Traffic.Errors
	if n := r.Traffic.Requests; n > 0 {
		w.AvgResponseTimeMs = inMs(berth.Known(r.Traffic.Time / time.Duration(n)))
	}
	return w
}

// hundredths rounds to the precision that the seed's columns have.
func hundredths(m berth.Maybe[float64]) *float64 {
	if !m.Known || math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
		return nil
	}
	v := math.Round(m.Value*100) / 100
	return &v
}

func inMB(bytes berth.Maybe[int64]) *float64 {
	return hundredths(berth.Maybe[float64]{Value: float64(bytes.Value) / (1 << 20), Known: bytes.Known})
}

func inMs(d berth.Maybe[time.Duration]) *float64 {
	return hundredths(berth.Maybe[float64]{Value: float64(d.Value) / float64(time.Millisecond), Known: d.Known})
}

// usageFigures are the seed's columns, of one period or of many.
type usageFigures struct {
	CPUUsagePercentAvg *float64 `json:"cpuUsagePercentAvg" doc:"100 is one core"`
	CPUUsagePercentMax *float64 `json:"cpuUsagePercentMax" doc:"the highest between two samples"`
	CPUThrottlingCount *int64   `json:"cpuThrottlingCount"`
	MemoryUsageMBAvg   *float64 `json:"memoryUsageMbAvg"`
	MemoryUsageMBMax   *float64 `json:"memoryUsageMbMax"`
	OOMKillCount       *int64   `json:"oomKillCount"`
	NetworkRxBytes     *int64   `json:"networkRxBytes"`
	NetworkTxBytes     *int64   `json:"networkTxBytes"`
	DiskUsageMB        *float64 `json:"diskUsageMb"`
	DiskIOReadMB       *float64 `json:"diskIoReadMb"`
	DiskIOWriteMB      *float64 `json:"diskIoWriteMb"`
	RequestCount       *int64   `json:"requestCount"`
	ErrorCount         *int64   `json:"errorCount"`
	AvgResponseTimeMs  *float64 `json:"avgResponseTimeMs" doc:"of the requests, until the end of the answers' headers"`
}

// periodWire is a row of tenant_resource_usage.
type periodWire struct {
	PeriodStart time.Time `json:"periodStart"`
	PeriodEnd   time.Time `json:"periodEnd" doc:"what was counted was counted between the two"`
	Resolution  string    `json:"resolution" enum:"minute,hour,day"`
	usageFigures
	MemoryLimitMB *float64 `json:"memoryLimitMb"`
	Samples       int      `json:"samples" doc:"that memoryUsageMbAvg is the mean of"`
}

func periodOf(u berth.Usage) periodWire {
	return periodWire{
		PeriodStart: u.Start, PeriodEnd: u.End, Resolution: string(u.Resolution),
		usageFigures: usageFigures{
			CPUUsagePercentAvg: hundredths(u.CPUPercentAvg), CPUUsagePercentMax: hundredths(u.CPUPercentMax), CPUThrottlingCount: u.Throttled.Pointer(),
			MemoryUsageMBAvg: inMB(u.MemoryAvg), MemoryUsageMBMax: inMB(u.MemoryMax), OOMKillCount: u.OOMKills.Pointer(),
			NetworkRxBytes: u.NetworkRx.Pointer(), NetworkTxBytes: u.NetworkTx.Pointer(),
			DiskUsageMB: inMB(u.Disk), DiskIOReadMB: inMB(u.DiskRead), DiskIOWriteMB: inMB(u.DiskWritten),
			RequestCount: u.Requests.Pointer(), ErrorCount: u.Errors.Pointer(), AvgResponseTimeMs: inMs(u.ResponseTime),
		},
		MemoryLimitMB: inMB(u.MemoryLimit), Samples: u.Samples,
	}
}

// averageWire is the seed's "average over N hours".
type averageWire struct {
	From           *time.Time `json:"from" doc:"where the first period begins; null without any"`
	To             *time.Time `json:"to" doc:"where the last period ends"`
	CoveredSeconds int64      `json:"coveredSeconds" doc:"how much of that the periods fill"`
	usageFigures
}

func averageOf(a berth.UsageAverage) averageWire {
	return averageWire{
		From: orNullTime(a.From), To: orNullTime(a.To), CoveredSeconds: int64(a.Covered.Seconds()),
		usageFigures: usageFigures{
			CPUUsagePercentAvg: hundredths(a.CPUPercentAvg), CPUUsagePercentMax: hundredths(a.CPUPercentMax), CPUThrottlingCount: a.Throttled.Pointer(),
			MemoryUsageMBAvg: inMB(a.MemoryAvg), MemoryUsageMBMax: inMB(a.MemoryMax), OOMKillCount: a.OOMKills.Pointer(),
			NetworkRxBytes: a.NetworkRx.Pointer(), NetworkTxBytes: a.NetworkTx.Pointer(),
			DiskUsageMB: inMB(a.Disk), DiskIOReadMB: inMB(a.DiskRead), DiskIOWriteMB: inMB(a.DiskWritten),
			RequestCount: a.Requests.Pointer(), ErrorCount: a.Errors.Pointer(), AvgResponseTimeMs: inMs(a.ResponseTime),
		},
	}
}

type usageWire struct {
	OrganizationID string       `json:"organizationId"`
	Slug           string       `json:"slug"`
	From           time.Time    `json:"from"`
	To             time.Time    `json:"to"`
	Resolution     string       `json:"resolution"`
	NextCursor     *string      `json:"nextCursor" doc:"of later periods"`
	Periods        []periodWire `json:"periods" doc:"a page, oldest first; before the first whole one and after the last, the shorter ones in the period that began before the span, or is not over"`
	Average        averageWire  `json:"average" doc:"over the whole span; means weigh periods by their length; counters are sums; null where no period knows"`
}

type usageInput struct {
	Target
	Hours      int       `query:"hours" minimum:"1" maximum:"36000" doc:"up to now, or to the end given; 24"`
	From       time.Time `query:"from" doc:"RFC 3339; in place of hours"`
	To         time.Time `query:"to" doc:"RFC 3339; now"`
	Resolution string    `query:"resolution" enum:"minute,hour,day" doc:"minutes up to 6 hours, hours up to 14 days, else days"`
	Cursor     time.Time `query:"cursor" doc:"nextCursor of the page before, of the same from and to"`
	Limit      int       `query:"limit" default:"2000" minimum:"1" maximum:"2000" doc:"periods"`
}

// page cuts off the periods before a time and those beyond the limit.
func (in usageInput) page(periods []berth.Usage) (page []berth.Usage, next *string) {
	begin := slices.IndexFunc(periods, func(u berth.Usage) bool { return !u.Start.Before(in.Cursor) })
	if begin < 0 {
		return nil, nil
	}
	if page = periods[begin:]; len(page) > in.Limit {
		next = orNull(page[in.Limit].Start.Format(time.RFC3339Nano))
		page = page[:in.Limit]
	}
	return page, next
}

type fleetInput struct {
	Sort   string `query:"sort" default:"cpu" enum:"cpu,memory,network,requests,name" doc:"highest first; names from A"`
	Cursor string `query:"cursor" maxLength:"1000" doc:"nextCursor of the page before"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

type fleetWire struct {
	Tenants    []metricsWire `json:"tenants"`
	NextCursor *string       `json:"nextCursor"`
}

// usageRoutes tell what tenants use.
func (s *server) usageRoutes() {
	secured(s, get(tenantPath+"/metrics", "metrics", "What a tenant uses now"), func(ctx context.Context, actor berth.Actor, in *Target) (*body[metricsWire], error) {
		m, err := s.Service.Metrics(ctx, actor, in.Ref)
		return &body[metricsWire]{metricsOf(m)}, err
	})
	secured(s, get(tenantPath+"/usage", "usage", "What a tenant used, by period, and what that comes to"), func(ctx context.Context, actor berth.Actor, in *usageInput) (*body[usageWire], error) {
		u, err := s.Service.Usage(ctx, actor, in.Ref, tenancy.UsageSpan{Hours: in.Hours, From: in.From, To: in.To, Resolution: berth.Resolution(in.Resolution)})
		out := usageWire{
			OrganizationID: u.Tenant.OrganizationID, Slug: u.Tenant.Slug, From: u.From, To: u.To, Resolution: string(u.Resolution),
			Periods: []periodWire{}, Average: averageOf(u.Average),
		}
		var page []berth.Usage
		page, out.NextCursor = in.page(u.Periods)
		for _, p := range page {
			out.Periods = append(out.Periods, periodOf(p))
		}
		return &body[usageWire]{out}, err
	})
	fleet := huma.Operation{Method: http.MethodGet, Path: "/api/usage", OperationID: "fleet-usage", Summary: "What every tenant uses now", Tags: []string{"tenants"}}
	secured(s, fleet, func(ctx context.Context, actor berth.Actor, in *fleetInput) (*body[fleetWire], error) {
		page, next, err := s.Service.FleetPage(ctx, actor, tenancy.UsageSort(in.Sort), in.Cursor, in.Limit)
		out := fleetWire{Tenants: make([]metricsWire, 0, len(page)), NextCursor: orNull(next)}
		for _, m := range page {
			out.Tenants = append(out.Tenants, metricsOf(m))
		}
		return &body[fleetWire]{out}, err
	})
}
