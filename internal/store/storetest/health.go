package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// hour is a whole one.
var hour = time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)

func probeAt(n int, at time.Time, status berth.ProbeStatus, took time.Duration) berth.Probe {
	return berth.Probe{OrganizationID: org(n), CheckedAt: at, Status: status, ResponseTime: took, Type: "http", Endpoint: "/"}
}

func (f fixture) record(probes ...berth.Probe) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error { return tx.RecordProbes(ctx, probes) })
}

func (f fixture) sums(actor berth.Actor, r berth.Resolution, from, to time.Time) (list []berth.HealthPeriod) {
	f.Helper()
	f.view(actor, func(ctx context.Context, tx store.Tx) (err error) {
		list, err = tx.SumHealth(ctx, r, from, to)
		return err
	})
	return list
}

func (f fixture) putHealth(periods ...berth.HealthPeriod) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error { return tx.PutHealth(ctx, periods) })
}

var healthTests = []test{
	{"recorded probes carry what was used, and raise no revision", func(f fixture) {
		a, b := tenant(1), tenant(2)
		b.LastProbedAt = time.Time{}
		f.insert(a, b)
		p := probeAt(1, noon.Add(time.Hour), berth.ProbeHealthy, 12*time.Millisecond)
		p.CPUPercent, p.MemoryMB, p.DiskMB = berth.Known(0.0), berth.Known(512), berth.Known(3)
		p.HTTPStatus = 204
		q := probeAt(2, noon, berth.ProbeTimeout, time.Second)
		q.Cause, q.CPUPercent = "no answer within 1s", berth.Known(112.5)
		f.record(p, q, probeAt(3, noon, berth.ProbeHealthy, 0))
		for _, want := range []berth.Probe{p, q} {
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				got, _, err := tx.ListProbes(ctx, want.OrganizationID, store.Page{})
				f.same(got, []berth.Probe{want})
				return err
			})
		}
		a.LastProbedAt, b.LastProbedAt = p.CheckedAt, noon
		f.same(f.get(org(1)), a)
		f.same(f.get(org(2)), b)
		f.record(probeAt(1, noon, berth.ProbeHealthy, 0)) // late: the newest stands
		f.same(f.get(org(1)), a)
	}},
	{"probes of a tenant that is gone are left out", func(f fixture) {
		f.insert(tenant(1))
		f.bury(org(1))
		f.record(probeAt(1, noon, berth.ProbeHealthy, 0))
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			got, _, err := tx.ListProbes(ctx, org(1), store.Page{})
			f.same(got, []berth.Probe{})
			return err
		})
	}},
	{"an hour is the sum of its probes, a day of its hours", func(f fixture) {
		a, b := tenant(1), tenant(2)
		f.insert(a, b)
		end := hour.Add(time.Hour)
		f.record(
			probeAt(1, hour.Add(-time.Microsecond), berth.ProbeHealthy, time.Hour),
			probeAt(1, hour, berth.ProbeHealthy, 10*time.Millisecond),
			probeAt(1, hour.Add(time.Minute), berth.ProbeUnhealthy, 20*time.Millisecond),
			probeAt(1, end.Add(-time.Microsecond), berth.ProbeTimeout, 5*time.Second),
			probeAt(2, hour.Add(time.Second), berth.ProbeHealthy, 0),
			probeAt(1, end, berth.ProbeHealthy, time.Hour),
		)
		ha := berth.HealthPeriod{TenantID: a.ID, OrganizationID: org(1), Resolution: berth.ByHour, Start: hour,
			Healthy: 1, Unhealthy: 1, Timeouts: 1, ResponseTotal: 5030 * time.Millisecond, ResponseMax: 5 * time.Second}
		hb := berth.HealthPeriod{TenantID: b.ID, OrganizationID: org(2), Resolution: berth.ByHour, Start: hour, Healthy: 1}
		got := f.sums(operator, berth.ByHour, hour, end)
		f.same(got, []berth.HealthPeriod{ha, hb})
		f.same(f.sums(of(org(2)), berth.ByHour, hour, end), []berth.HealthPeriod{hb})

		next := ha
		next.Start, next.ResponseMax = end, 7*time.Second
		f.putHealth(ha, hb, next)
		f.putHealth(ha) // again changes nothing
		day := hour.Truncate(24 * time.Hour)
		f.same(f.sums(operator, berth.ByDay, day, day.Add(24*time.Hour)), []berth.HealthPeriod{
			{TenantID: a.ID, OrganizationID: org(1), Resolution: berth.ByDay, Start: day, Healthy: 2, Unhealthy: 2, Timeouts: 2, ResponseTotal: 10060 * time.Millisecond, ResponseMax: 7 * time.Second},
			{TenantID: b.ID, OrganizationID: org(2), Resolution: berth.ByDay, Start: day, Healthy: 1},
		})
		ha.Healthy = 9
		f.putHealth(ha)
		fewer := ha
		fewer.Healthy = 8 // what it was made of is dropped in part
		f.putHealth(fewer)
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			list, err := tx.ListHealth(ctx, org(1), berth.ByHour, hour, end.Add(time.Hour))
			f.same(list, []berth.HealthPeriod{ha, next})
			list, err2 := tx.ListHealth(ctx, org(1), berth.ByHour, hour, end)
			f.same(list, []berth.HealthPeriod{ha})
			oldest, newest, err3 := tx.HealthSpan(ctx, berth.ByHour, end.Add(time.Hour))
			f.same([]time.Time{oldest, newest}, []time.Time{hour, end})
			oldest, newest, err4 := tx.HealthSpan(ctx, "", end.Add(time.Hour))
			f.same([]time.Time{oldest, newest}, []time.Time{hour.Add(-time.Microsecond), end})
			oldest, newest, err5 := tx.HealthSpan(ctx, berth.ByDay, end.Add(time.Hour))
			f.same([]time.Time{oldest, newest}, []time.Time{{}, {}})
			oldest, newest, err6 := tx.HealthSpan(ctx, berth.ByHour, end)
			f.same([]time.Time{oldest, newest}, []time.Time{hour, hour})
			oldest, newest, err7 := tx.HealthSpan(ctx, "", end)
			f.same([]time.Time{oldest, newest.Truncate(time.Hour)}, []time.Time{hour.Add(-time.Microsecond), hour})
			return firstOf(err, err2, err3, err4, err5, err6, err7)
		})
	}},
	{"what is old is dropped in bounded batches, the oldest first", func(f fixture) {
		a := tenant(1)
		f.insert(a)
		for i := range 5 {
			at := hour.Add(time.Duration(i) * time.Hour)
			f.record(probeAt(1, at, berth.ProbeHealthy, 0))
			f.putHealth(berth.HealthPeriod{TenantID: a.ID, OrganizationID: org(1), Resolution: berth.ByHour, Start: at},
				berth.HealthPeriod{TenantID: a.ID, OrganizationID: org(1), Resolution: berth.ByDay, Start: at})
		}
		for _, r := range []berth.Resolution{"", berth.ByHour} {
			for _, want := range []struct {
				n      int
				oldest time.Time
			}{{2, hour.Add(2 * time.Hour)}, {1, hour.Add(3 * time.Hour)}, {0, hour.Add(3 * time.Hour)}} {
				f.tx(func(ctx context.Context, tx store.Tx) error {
					n, err := tx.ForgetHealth(ctx, r, hour.Add(3*time.Hour), 2)
					oldest, _, err2 := tx.HealthSpan(ctx, r, hour.Add(9*time.Hour))
					if n != want.n || !oldest.Equal(want.oldest) {
						f.Errorf("%q: dropped %d, oldest %v", r, n, oldest)
					}
					return firstOf(err, err2)
				})
			}
		}
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			days, err := tx.ListHealth(ctx, org(1), berth.ByDay, hour, hour.Add(24*time.Hour))
			if len(days) != 5 {
				f.Errorf("%d days are left of 5", len(days))
			}
			return err
		})
	}},
	{"health belongs to who may see the organization", func(f fixture) {
		a, b := tenant(1), tenant(2)
		f.insert(a, b)
		h := berth.HealthPeriod{TenantID: a.ID, OrganizationID: org(1), Resolution: berth.ByHour, Start: hour}
		f.putHealth(h)
		stranger, own := of(org(2)), of(org(1))
		f.code(f.try(stranger, func(ctx context.Context, tx store.Tx) error {
			return tx.RecordProbes(ctx, []berth.Probe{probeAt(2, noon, berth.ProbeHealthy, 0), probeAt(1, noon, berth.ProbeHealthy, 0)})
		}), berth.CodeForbidden)
		f.code(f.try(stranger, func(ctx context.Context, tx store.Tx) error {
			return tx.PutHealth(ctx, []berth.HealthPeriod{h})
		}), berth.CodeForbidden)
		f.code(f.try(own, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.ForgetHealth(ctx, "", noon, 1)
			return err
		}), berth.CodeForbidden)
		for actor, want := range map[string][]berth.HealthPeriod{org(1): {h}, org(2): {}} {
			f.view(of(actor), func(ctx context.Context, tx store.Tx) error {
				got, err := tx.ListHealth(ctx, org(1), berth.ByHour, hour, hour.Add(time.Hour))
				f.same(got, want)
				return err
			})
		}
		// Another organization's record can't be claimed.
		h.OrganizationID = org(2)
		if err := f.try(operator, func(ctx context.Context, tx store.Tx) error {
			h.Start = hour.Add(time.Hour)
			return tx.PutHealth(ctx, []berth.HealthPeriod{h})
		}); err == nil {
			f.Error("a period of one organization's tenant was stored under another")
		}
	}},
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
