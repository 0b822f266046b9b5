package row_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

func TestCountersAreKeptUnderTheirNamesInTheirOrder(t *testing.T) {
	list := []berth.Sample{
		{ContainerID: "c1", At: noon, StartedAt: noon.Add(-time.Hour), CPU: berth.Known(2 * time.Second), Throttled: berth.Known[int64](3),
			OOMKills: berth.Known[int64](4), NetworkRx: berth.Known[int64](5), NetworkTx: berth.Known[int64](6),
			DiskRead: berth.Known[int64](7), DiskWritten: berth.Known[int64](8)},
		{ContainerID: "c2", At: noon, StartedAt: noon, CPU: berth.Known[time.Duration](0)},
	}
	const want = `[{"container":"c1","at":"2026-02-28T12:00:00.123456Z","started":"2026-02-28T11:00:00.123456Z","cpuNs":2000000000,"throttled":3,` +
		`"oom":4,"rx":5,"tx":6,"read":7,"written":8},` +
		`{"container":"c2","at":"2026-02-28T12:00:00.123456Z","started":"2026-02-28T12:00:00.123456Z","cpuNs":0}]`
	text := encoded(t, row.NewCounters(list))
	if text != want {
		t.Errorf("kept as %s\nwant %s", text, want)
	}
	if got, err := row.ParseCounters(text); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("read back as %+v, %v; want %+v", got, err, list)
	}
}

func TestCountersAreKeptInUTC(t *testing.T) {
	east := time.FixedZone("east", 2*60*60)
	list := row.NewCounters([]berth.Sample{{At: noon.In(east), StartedAt: noon.In(east)}})
	if list[0].At.Location() != time.UTC || list[0].Started.Location() != time.UTC || !list[0].At.Equal(noon) {
		t.Errorf("kept as %+v", list[0])
	}
}

func TestNoCountersAreAnEmptyList(t *testing.T) {
	if text := encoded(t, row.NewCounters(nil)); text != "[]" {
		t.Errorf("kept as %s", text)
	}
	if list, err := row.ParseCounters("[]"); err != nil || list != nil {
		t.Errorf("read as %#v, %v", list, err)
	}
}
