// Package metrics shows Prometheus what tenants use. Nothing is kept between
// two scrapes: the series of each are made of the fleet as it is at that moment,
// so those of a removed tenant are gone, and their number is bounded.
//
// It stands apart from package api because Prometheus' library and its naming
// are an adapter's business; api authorises, and hands over a fleet.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/unite-hub/berth"
)

// DefaultMostTenants is how many tenants have series of their own: at 18 each,
// 36,000 series.
const DefaultMostTenants = 2000

// Tenant is one tenant of a fleet. Read tells whether its reading is one.
type Tenant struct {
	Tenant  berth.Tenant
	Reading berth.Reading
	Read    bool
}

// Fleet is what one scrape shows.
type Fleet struct {
	Tenants     []Tenant // oldest first: those that stay within the bound stay
	MostTenants int      // 0: DefaultMostTenants
	Host        *Host    // nil for who may see no more than its tenants
}

// Host is what concerns the whole installation.
type Host struct {
	EngineUp bool
	Engine   string // "docker"
	Version  string // Berth's
	Commit   string
}

// Handler answers one scrape with the fleet. The caller has authorised it.
func Handler(f Fleet, process prometheus.Gatherer) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(f))
	all := prometheus.Gatherers{registry}
	if f.Host != nil && process != nil {
		all = append(all, process)
	}
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{})
}

// Process gathers what the process and the Go runtime say of themselves. One
// is enough for all scrapes.
func Process() prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// Collector turns a fleet into series. What is not known has none.
type Collector struct {
	fleet Fleet
	descs map[string]*prometheus.Desc
}

// NewCollector returns a Collector of one fleet.
func NewCollector(f Fleet) *Collector {
	if f.MostTenants == 0 {
		f.MostTenants = DefaultMostTenants
	}
	c := &Collector{fleet: f, descs: map[string]*prometheus.Desc{}}
	for _, m := range tenantMetrics() {
		c.descs[m.name] = prometheus.NewDesc(m.name, m.help, []string{"organization_id", "slug"}, nil)
	}
	for _, m := range hostMetrics() {
		c.descs[m.name] = prometheus.NewDesc(m.name, m.help, m.labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	shown := c.fleet.Tenants[:min(len(c.fleet.Tenants), c.fleet.MostTenants)]
	metrics := tenantMetrics()
	for _, t := range shown {
		for _, m := range metrics {
			if v := m.value(t); v.Known {
				ch <- prometheus.MustNewConstMetric(c.descs[m.name], m.kind, v.Value, t.Tenant.OrganizationID, t.Tenant.Slug)
			}
		}
	}
	states := map[berth.Status]float64{}
	for _, t := range c.fleet.Tenants {
		states[t.Tenant.Status]++
	}
	for status, n := range states {
		c.gauge(ch, "berth_tenants", n, string(status))
	}
	c.gauge(ch, "berth_tenants_left_out", float64(len(c.fleet.Tenants)-len(shown)))
	if h := c.fleet.Host; h != nil {
		c.gauge(ch, "berth_engine_up", truth(h.EngineUp), h.Engine)
		c.gauge(ch, "berth_build_info", 1, h.Version, h.Commit)
	}
}

func (c *Collector) gauge(ch chan<- prometheus.Metric, name string, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(c.descs[name], prometheus.GaugeValue, v, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
