package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/unite-hub/berth"
)

// tenantMetric is one figure of a tenant.
type tenantMetric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(Tenant) berth.Maybe[float64]
}

// hostMetric is a figure of the whole.
type hostMetric struct {
	name, help string
	labels     []string
}

func hostMetrics() []hostMetric {
	return []hostMetric{
		{"berth_tenants", "Living tenants.", []string{"status"}},
		{"berth_tenants_left_out", "Tenants beyond the bound, which have no series of their own.", nil},
		{"berth_engine_up", "Whether the container engine answers.", []string{"engine"}},
		{"berth_build_info", "Always 1; the labels say what runs.", []string{"version", "commit"}},
	}
}

// tenantMetrics are in the order of docs/usage.md.
func tenantMetrics() []tenantMetric {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	return []tenantMetric{
		{"berth_tenant_up", "Whether the tenant's status is running.", gauge, func(t Tenant) berth.Maybe[float64] {
			return berth.Known(truth(t.Tenant.Status == berth.StatusRunning))
		}},
		{"berth_tenant_healthy", "Whether the tenant's health is healthy; absent while it is unknown.", gauge, func(t Tenant) berth.Maybe[float64] {
			return berth.Maybe[float64]{Value: truth(t.Tenant.Health == berth.HealthHealthy), Known: t.Tenant.Health != berth.HealthUnknown}
		}},
		{"berth_tenant_cpu_limit_cores", "Cores that the tenant may use.", gauge, func(t Tenant) berth.Maybe[float64] {
			return berth.Known(t.Tenant.Spec.Limits.CPU)
		}},
		{"berth_tenant_containers", "Containers that were read.", gauge, reading(func(r berth.Reading) berth.Maybe[float64] {
			return berth.Known(float64(r.Containers))
		})},
		{"berth_tenant_cpu_seconds_total", "CPU time used, of all cores together.", counter, reading(func(r berth.Reading) berth.Maybe[float64] { return r.CPUSeconds })},
		{"berth_tenant_cpu_throttled_periods_total", "Periods of 100 ms in which more CPU was wanted than the limit gives.", counter, whole(func(r berth.Reading) berth.Maybe[int64] { return r.Throttled })},
		{"berth_tenant_memory_bytes", "Memory in use, without page cache that can be taken back.", gauge, whole(func(r berth.Reading) berth.Maybe[int64] { return r.MemoryBytes })},
		{"berth_tenant_memory_limit_bytes", "Memory limit in force.", gauge, whole(func(r berth.Reading) berth.Maybe[int64] { return r.MemoryLimit })},
		{"berth_tenant_oom_kills_total", "Processes that the kernel ended for want of memory.", counter, whole(func(r berth.Reading) berth.Maybe[int64] { return r.OOMKills })},
		{"berth_tenant_pids", "Processes and threads.", gauge, whole(func(r berth.Reading) berth.Maybe[int64] { return r.Pids })},
		{"berth_tenant_network_receive_bytes_total", "Bytes received by the tenant's containers.", counter, whole(func(r berth.Reading) berth.Maybe[int64] { return r.NetworkRx })},
		{"berth_tenant_network_transmit_bytes_total", "Bytes sent by the tenant's containers.", counter, whole(func(r berth.Reading) berth.Maybe[int64] { return r.NetworkTx })},
		{"berth_tenant_disk_bytes", "Bytes of volumes and writable layers, as last measured.", gauge, whole(func(r berth.Reading) berth.Maybe[int64] { return r.DiskBytes })},
		{"berth_tenant_disk_read_bytes_total", "Bytes read from block devices.", counter, whole(func(r berth.Reading) berth.Maybe[int64] { return r.DiskRead })},
		{"berth_tenant_disk_written_bytes_total", "Bytes written to block devices.", counter, whole(func(r berth.Reading) berth.Maybe[int64] { return r.DiskWritten })},
		{"berth_tenant_requests_total", "Requests that came through the edge.", counter, reading(func(r berth.Reading) berth.Maybe[float64] {
			return berth.Known(float64(r.Traffic.Requests))
		})},
		{"berth_tenant_request_errors_total", "Requests answered with 500 or above, or not at all.", counter, reading(func(r berth.Reading) berth.Maybe[float64] {
			return berth.Known(float64(r.Traffic.Errors))
		})},
		{"berth_tenant_request_seconds_total", "Time of all requests until the end of their answers' headers.", counter, reading(func(r berth.Reading) berth.Maybe[float64] {
			return berth.Known(r.Traffic.Time.Seconds())
		})},
	}
}

// reading is not known of a tenant that nothing was read of.
func reading(of func(berth.Reading) berth.Maybe[float64]) func(Tenant) berth.Maybe[float64] {
	return func(t Tenant) berth.Maybe[float64] {
		if !t.Read {
			return berth.Maybe[float64]{}
		}
		return of(t.Reading)
	}
}

func whole(of func(berth.Reading) berth.Maybe[int64]) func(Tenant) berth.Maybe[float64] {
	return reading(func(r berth.Reading) berth.Maybe[float64] {
		v := of(r)
		return berth.Maybe[float64]{Value: float64(v.Value), Known: v.Known}
	})
}
