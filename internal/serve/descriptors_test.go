package serve

import "testing"

func TestDescriptorsAreSharedSoThatEachPartHasSome(t *testing.T) {
	for _, limit := range []int{fewestDescriptors, 1024, 4096, 65536, 1 << 20, 1 << 30} {
		d := share(limit)
		u := d.underWay()
		if d.own < 164 || // lanes and probes
			d.api < 64 || d.streams < 4 || d.followed < 16 || d.tenants < 200 {
			t.Errorf("of %d: %+v, %d of tenants'", limit, d, d.tenants)
		}
		if sum := d.own + d.api + d.streams + d.followed + d.tenants; sum > limit {
			t.Errorf("of %d, %d are given away", limit, sum)
		}
		if u.Requests.All > d.api || u.Streams.All > u.Requests.All || u.Streams.Actor < 1 || u.Streams.Actor > u.Streams.Organization || u.Requests.Actor > u.Requests.Organization {
			t.Errorf("of %d: %+v", limit, u)
		}
	}
}
