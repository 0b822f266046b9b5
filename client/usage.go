package client

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// Metrics is what a tenant uses now. Unknown is nil, never 0.
type Metrics struct {
	OrganizationID     string     `json:"organizationId"`
	Slug               string     `json:"slug"`
	TenantName         string     `json:"tenantName"`
	Status             string     `json:"status"`
	HealthStatus       string     `json:"healthStatus"`
	ReadAt             *time.Time `json:"readAt"`     // nil if nothing was read yet, or nothing runs
	Containers         *int       `json:"containers"` // that were read
	CPUPercent         *float64   `json:"cpuPercent"` // 100 is one core
	CPULimit           float64    `json:"cpuLimit"`   // cores
	MemoryUsageMB      *float64   `json:"memoryUsageMb"`
	MemoryLimitMB      *float64   `json:"memoryLimitMb"`
	Pids               *int64     `json:"pids"`
	DiskUsageMB        *float64   `json:"diskUsageMb"`
	CPUSeconds         *float64   `json:"cpuSeconds"` // this and what follows counts since Berth began to watch
	CPUThrottlingCount *int64     `json:"cpuThrottlingCount"`
	OOMKillCount       *int64     `json:"oomKillCount"`
	NetworkRxBytes     *int64     `json:"networkRxBytes"`
	NetworkTxBytes     *int64     `json:"networkTxBytes"`
	DiskReadBytes      *int64     `json:"diskReadBytes"`
	DiskWriteBytes     *int64     `json:"diskWriteBytes"`
	RequestCount       *int64     `json:"requestCount"`
	ErrorCount         *int64     `json:"errorCount"`
	AvgResponseTimeMs  *float64   `json:"avgResponseTimeMs"`
}

// FleetUsage is a page of tenants, the highest first.
type FleetUsage struct {
	Tenants    []Metrics `json:"tenants"`
	NextCursor *string   `json:"nextCursor"` // nil after the last page
}

// UsageFigures are the columns of a period, or of what many come to. Unknown
// is nil.
type UsageFigures struct {
	CPUUsagePercentAvg *float64 `json:"cpuUsagePercentAvg"` // 100 is one core
	CPUUsagePercentMax *float64 `json:"cpuUsagePercentMax"`
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
	AvgResponseTimeMs  *float64 `json:"avgResponseTimeMs"`
}

// UsagePeriod is what a tenant used between two moments.
type UsagePeriod struct {
	PeriodStart time.Time `json:"periodStart"`
	PeriodEnd   time.Time `json:"periodEnd"`
	Resolution  string    `json:"resolution"` // "minute", "hour" or "day"
	UsageFigures
	MemoryLimitMB *float64 `json:"memoryLimitMb"`
	Samples       int      `json:"samples"`
}

// UsageAverage is what all periods come to: means weighed by length, counters
// summed up.
type UsageAverage struct {
	From           *time.Time `json:"from"`
	To             *time.Time `json:"to"`
	CoveredSeconds int64      `json:"coveredSeconds"`
	UsageFigures
}

// Usage is a tenant's history over a span.
type Usage struct {
	OrganizationID string        `json:"organizationId"`
	Slug           string        `json:"slug"`
	From           time.Time     `json:"from"`
	To             time.Time     `json:"to"`
	Resolution     string        `json:"resolution"`
	Periods        []UsagePeriod `json:"periods"` // oldest first
	Average        UsageAverage  `json:"average"`
}

// UsageSpan says which history is asked for; zero fields have defaults.
type UsageSpan struct {
	Hours      int // up to To; 24. Not together with From
	From, To   time.Time
	Resolution string // "minute", "hour" or "day"; the span decides if ""
}

// Metrics returns what a tenant uses now.
func (c *Client) Metrics(ctx context.Context, org string) (out Metrics, err error) {
	err = c.get(ctx, tenantPath(org, "metrics"), nil, &out)
	return out, err
}

// Usage returns what an organization used.
func (c *Client) Usage(ctx context.Context, org string, span UsageSpan) (out Usage, err error) {
	q := url.Values{}
	if span.Hours != 0 {
		q.Set("hours", strconv.Itoa(span.Hours))
	}
	for name, at := range map[string]time.Time{"from": span.From, "to": span.To} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if span.Resolution != "" {
		q.Set("resolution", span.Resolution)
	}
	err = c.get(ctx, tenantPath(org, "usage"), q, &out)
	return out, err
}

// FleetUsage returns a page of what every tenant uses now. sort is "cpu", the
// default if empty, "memory", "network", "requests" or "name".
func (c *Client) FleetUsage(ctx context.Context, sort, cursor string, limit int) (out FleetUsage, err error) {
	q := page(cursor, limit)
	if sort != "" {
		q.Set("sort", sort)
	}
	err = c.get(ctx, "/api/usage", q, &out)
	return out, err
}
