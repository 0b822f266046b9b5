package storetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// usage is a minute of the n-th tenant, complete, that begins m minutes after
// noon.
func usage(n, m int) berth.Usage {
	start := noon.Add(time.Duration(m) * time.Minute)
	return berth.Usage{
		OrganizationID: org(n), Resolution: berth.ByMinute, Start: start, End: start.Add(time.Minute),
		CPUPercentAvg: berth.Known(12.5), CPUPercentMax: berth.Known(1234.56), Throttled: berth.Known[int64](7),
		MemoryAvg: berth.Known[int64](123_456_789), MemoryMax: berth.Known[int64](1 << 33), MemoryLimit: berth.Known[int64](512 << 20),
		OOMKills: berth.Known[int64](0), NetworkRx: berth.Known[int64](1 << 40), NetworkTx: berth.Known[int64](5), Disk: berth.Known[int64](99),
		DiskRead: berth.Known[int64](4096), DiskWritten: berth.Known[int64](1), Requests: berth.Known[int64](100), Errors: berth.Known[int64](3),
		ResponseTime: berth.Known(12345 * time.Microsecond), Samples: 4,
	}
}

func (f fixture) putUsage(list ...berth.Usage) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error { return tx.PutUsage(ctx, list) })
}

func (f fixture) usage(actor berth.Actor, n int, r berth.Resolution, from, to time.Time, limit int) (list []berth.Usage) {
	f.Helper()
	f.view(actor, func(ctx context.Context, tx store.Tx) (err error) {
		list, err = tx.ListUsage(ctx, store.UsageQuery{OrganizationID: org(n), Resolution: r, From: from, To: to, Limit: limit})
		return err
	})
	return list
}

// toSum is whose minutes that begin before a time are in no hour yet.
func (f fixture) toSum(before time.Time) (list []string) {
	f.Helper()
	f.view(operator, func(ctx context.Context, tx store.Tx) (err error) {
		list, err = tx.OrganizationsToSum(ctx, berth.ByMinute, berth.ByHour, before)
		return err
	})
	return list
}

var usageTests = []test{
	{"usage comes back as it was stored, unknown included", func(f fixture) {
		f.insert(tenant(1))
		full := usage(1, 0)
		empty := berth.Usage{OrganizationID: org(1), Resolution: berth.ByMinute, Start: noon.Add(time.Minute), End: noon.Add(2 * time.Minute)}
		f.putUsage(full, empty)
		f.same(f.usage(operator, 1, berth.ByMinute, noon, noon.Add(time.Hour), 10), []berth.Usage{full, empty})
	}},
	{"a period is stored once", func(f fixture) {
		f.insert(tenant(1))
		f.putUsage(usage(1, 0))
		again := usage(1, 0)
		again.NetworkTx, again.Requests = berth.Known[int64](6), berth.Maybe[int64]{}
		hour := again
		hour.Resolution = berth.ByHour
		f.putUsage(again, hour)
		f.same(f.usage(operator, 1, berth.ByMinute, noon, noon.Add(time.Hour), 10), []berth.Usage{again})
		f.same(f.usage(operator, 1, berth.ByHour, noon, noon.Add(time.Hour), 10), []berth.Usage{hour})
	}},
	{"periods are found by their begin, in order, up to a number", func(f fixture) {
		f.insert(tenant(1), tenant(2))
		for m := 5; m >= 0; m-- {
			f.putUsage(usage(1, m), usage(2, m))
		}
		f.same(f.usage(operator, 1, berth.ByMinute, noon.Add(time.Minute), noon.Add(4*time.Minute), 10), []berth.Usage{usage(1, 1), usage(1, 2), usage(1, 3)})
		f.same(f.usage(operator, 1, berth.ByMinute, noon, noon.Add(time.Hour), 2), []berth.Usage{usage(1, 0), usage(1, 1)})
	}},
	{"an organization sees its own usage and nobody else's", func(f fixture) {
		f.insert(tenant(1), tenant(2))
		f.putUsage(usage(1, 0), usage(2, 0))
		f.same(f.usage(of(org(1)), 1, berth.ByMinute, noon, noon.Add(time.Hour), 10), []berth.Usage{usage(1, 0)})
		f.same(f.usage(of(org(1)), 2, berth.ByMinute, noon, noon.Add(time.Hour), 10), []berth.Usage{})
		f.code(f.try(of(org(1)), func(ctx context.Context, tx store.Tx) error { return tx.PutUsage(ctx, []berth.Usage{usage(2, 1)}) }), berth.CodeForbidden)
	}},
	{"a tenant that has gone keeps its usage, and its last is taken", func(f fixture) {
		f.insert(tenant(1))
		f.putUsage(usage(1, 0))
		f.bury(org(1))
		f.putUsage(usage(1, 1))
		f.same(f.usage(operator, 1, berth.ByMinute, noon, noon.Add(time.Hour), 10), []berth.Usage{usage(1, 0), usage(1, 1)})
		f.same(f.toSum(noon.Add(time.Hour)), []string{org(1)})
	}},
	{"usage is to be summed up where the newest periods end differently", func(f fixture) {
		f.insert(tenant(1), tenant(2), tenant(3))
		hour := func(n, minutes int) berth.Usage {
			u := usage(n, 0)
			u.Resolution, u.End = berth.ByHour, noon.Add(time.Duration(minutes)*time.Minute)
			return u
		}
		f.same(f.toSum(noon.Add(time.Hour)), []string{})
		f.putUsage(usage(1, 0), usage(1, 59), usage(2, 0), usage(2, 60))
		f.same(f.toSum(noon), []string{})
		f.same(f.toSum(noon.Add(time.Hour)), []string{org(1), org(2)})
		f.putUsage(hour(1, 60), hour(2, 1))
		f.same(f.toSum(noon.Add(time.Hour)), []string{})
		f.same(f.toSum(noon.Add(2*time.Hour)), []string{org(2)})
		late := usage(1, 59)
		late.End = noon.Add(3 * time.Hour)
		f.putUsage(late)
		f.same(f.toSum(noon.Add(time.Hour)), []string{org(1)})
	}},
	{"a span of usage is dropped to be made anew", func(f fixture) {
		f.insert(tenant(1), tenant(2))
		for m := range 4 {
			f.putUsage(usage(1, m), usage(2, m))
		}
		f.tx(func(ctx context.Context, tx store.Tx) error {
			return tx.DropUsage(ctx, org(1), berth.ByMinute, noon.Add(time.Minute), noon.Add(3*time.Minute))
		})
		f.same(f.usage(operator, 1, berth.ByMinute, noon, noon.Add(time.Hour), 10), []berth.Usage{usage(1, 0), usage(1, 3)})
		f.same(len(f.usage(operator, 2, berth.ByMinute, noon, noon.Add(time.Hour), 10)), 4)
	}},
	{"usage of who is not there is left out", func(f fixture) {
		f.putUsage(usage(1, 0))
		f.same(f.usage(operator, 1, berth.ByMinute, noon, noon.Add(time.Hour), 10), []berth.Usage{})
	}},
	{"old usage is forgotten a batch at a time", func(f fixture) {
		f.insert(tenant(1))
		for m := range 5 {
			f.putUsage(usage(1, m))
		}
		for _, want := range []int{2, 1, 0} {
			f.tx(func(ctx context.Context, tx store.Tx) error {
				n, err := tx.ForgetUsage(ctx, berth.ByMinute, noon.Add(3*time.Minute), 2)
				if err == nil && n != want {
					err = fmt.Errorf("forgot %d, want %d", n, want)
				}
				return err
			})
		}
		f.same(f.usage(operator, 1, berth.ByMinute, noon, noon.Add(time.Hour), 10), []berth.Usage{usage(1, 3), usage(1, 4)})
	}},
	{"marks come back, are replaced, and go with their tenant", func(f fixture) {
		f.insert(tenant(1))
		mark := func(n int, cpu time.Duration) berth.Mark {
			return berth.Mark{OrganizationID: org(n), End: noon, Samples: []berth.Sample{
				{ContainerID: "a", At: noon, StartedAt: noon.Add(-time.Hour), CPU: berth.Known(cpu), NetworkRx: berth.Known[int64](1 << 50), DiskRead: berth.Known[int64](0)},
				{ContainerID: "b", At: noon, StartedAt: noon},
			}}
		}
		marks := func() (list []berth.Mark) {
			f.tx(func(ctx context.Context, tx store.Tx) (err error) { list, err = tx.Marks(ctx); return err })
			return list
		}
		f.tx(func(ctx context.Context, tx store.Tx) error {
			return tx.PutMarks(ctx, []berth.Mark{mark(1, 1), mark(2, 2)})
		})
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.PutMarks(ctx, []berth.Mark{mark(1, 3)}) })
		f.same(marks(), []berth.Mark{mark(1, 3), mark(2, 2)})
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.ForgetMarks(ctx) })
		f.same(marks(), []berth.Mark{mark(1, 3)})
		for _, c := range []struct {
			resolution  berth.Resolution
			hour        int
			bytes, want int64
		}{{berth.ByHour, 0, 5, 5}, {berth.ByHour, 1, 7, 7}, {berth.ByDay, 2, 9, 7}, {berth.ByMinute, -1, 1, 1}, {berth.ByMinute, -2, 3, 1}} {
			at := noon.Add(time.Duration(c.hour) * time.Hour)
			f.tx(func(ctx context.Context, tx store.Tx) error {
				return tx.PutUsage(ctx, []berth.Usage{{OrganizationID: org(1), Resolution: c.resolution, Start: at, End: at.Add(time.Minute), Disk: berth.Known(c.bytes)}})
			})
			want := mark(1, 3)
			want.Disk = berth.Known(c.want)
			f.same(marks(), []berth.Mark{want})
		}
	}},
	{"sums are what RollUp makes of the periods", func(f fixture) {
		f.insert(tenant(1), tenant(2))
		var list []berth.Usage
		for m := range 200 { // from noon on, over four hours, with gaps and of all lengths
			u := usage(1, m)
			u.Start = u.Start.Add(time.Duration(m*m%17) * 142_857 * time.Microsecond)
			u.End = u.Start.Add(time.Duration(m%5) * 4_333_333 * time.Microsecond) // some have no length
			u.CPUPercentAvg, u.CPUPercentMax = berth.Known(float64(m%40)/4), berth.Known(float64(m%70))
			u.MemoryAvg, u.MemoryMax, u.Disk = berth.Known(int64(m)<<30+1), berth.Known(int64(m)<<31), berth.Known(int64(1000-m))
			u.MemoryLimit, u.Requests = berth.Known(int64(m+1)<<20), berth.Known(int64(m%3))
			u.ResponseTime = berth.Known(time.Duration(m) * 77 * time.Microsecond)
			for i, field := range []*berth.Maybe[int64]{&u.MemoryAvg, &u.MemoryLimit, &u.Disk, &u.Requests, &u.NetworkRx} {
				if (m+i)%6 == 0 || m >= 180 {
					*field = berth.Maybe[int64]{}
				}
			}
			if m%4 == 0 {
				u.CPUPercentAvg, u.ResponseTime = berth.Maybe[float64]{}, berth.Maybe[time.Duration]{}
			}
			list = append(list, u)
		}
		first := usage(1, -30)
		first.Resolution = berth.ByHour
		f.putUsage(append(list, first, usage(2, 0))...)
		want := func(of func(time.Time) time.Time, to berth.Resolution, parts ...berth.Usage) (sums []berth.Usage) {
			for len(parts) > 0 {
				n := 0
				for n < len(parts) && of(parts[n].Start).Equal(of(parts[0].Start)) {
					n++
				}
				long := slices.DeleteFunc(slices.Clone(parts[:n]), func(u berth.Usage) bool { return !u.End.After(u.Start) })
				sum := RollUp(to, long)
				sum.ResponseTime.Value = sum.ResponseTime.Value.Round(time.Microsecond)
				sums, parts = append(sums, sum), parts[n:]
			}
			return sums
		}
		near := cmpopts.EquateApprox(1e-12, 0)
		sums := func(actor berth.Actor, s store.UsageSum) (list []berth.Usage) {
			f.view(actor, func(ctx context.Context, tx store.Tx) (err error) { list, err = tx.SumUsage(ctx, s); return err })
			return list
		}
		hours := store.UsageSum{OrganizationID: org(1), From: berth.ByMinute, To: berth.ByHour, Begin: noon.Add(-time.Hour), End: noon.Add(10 * time.Hour)}
		hour := func(t time.Time) time.Time { return t.Truncate(time.Hour) }
		if diff := cmp.Diff(want(hour, berth.ByHour, list...), sums(operator, hours), near); diff != "" {
			f.Errorf("hours (-want +got):\n%s", diff)
		}
		f.same(sums(of(org(1)), hours), sums(operator, hours))
		f.same(sums(of(org(2)), hours), []berth.Usage{})
		added := hours
		added.Begin, added.End, added.And = list[1].Start, list[20].Start, first.Start
		if diff := cmp.Diff(want(hour, berth.ByHour, append([]berth.Usage{first}, list[1:20]...)...), sums(operator, added), near); diff != "" {
			f.Errorf("added to an hour (-want +got):\n%s", diff)
		}
		days := hours
		days.To, days.Begin = berth.ByDay, noon.Add(-24*time.Hour)
		if diff := cmp.Diff(want(func(t time.Time) time.Time { return t.Truncate(24 * time.Hour) }, berth.ByDay, list...), sums(operator, days), near); diff != "" {
			f.Errorf("days (-want +got):\n%s", diff)
		}
	}},
}
