package docker

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/unite-hub/berth"
)

func TestTheEnginesStatisticsAreTheKernelsNumbers(t *testing.T) {
	var s container.StatsResponse
	if got := sampled("c", s); got.CPU.Known || got.Memory.Known || got.NetworkRx.Known || got.DiskRead.Known || got.Pids.Known {
		t.Errorf("of a container that does not run something is known: %+v", got)
	}
	s.Read = time.Now()
	s.CPUStats.CPUUsage.TotalUsage = 2_500_000_000
	s.CPUStats.ThrottlingData.ThrottledPeriods = 3
	s.MemoryStats = container.MemoryStats{Usage: 10 << 20, Limit: 512 << 20, Stats: map[string]uint64{"total_inactive_file": 1 << 20, "inactive_file": 9}}
	s.PidsStats.Current = 7
	s.Networks = map[string]container.NetworkStats{"eth0": {RxBytes: 1500, TxBytes: 2500}, "eth1": {RxBytes: 7, TxBytes: 8}}
	s.BlkioStats.IoServiceBytesRecursive = []container.BlkioStatEntry{{Op: "Read", Value: 4096}, {Op: "read", Value: 4}, {Op: "Write", Value: 8193}, {Op: "Total", Value: 1}}
	got := sampled("c", s)
	got.At = time.Time{}
	want := berth.Sample{
		ContainerID: "c", CPU: berth.Known(2500 * time.Millisecond), Throttled: berth.Known[int64](3), Memory: berth.Known[int64](9 << 20),
		MemoryLimit: berth.Known[int64](512 << 20), Pids: berth.Known[int64](7), NetworkRx: berth.Known[int64](1507), NetworkTx: berth.Known[int64](2508),
		DiskRead: berth.Known[int64](4100), DiskWritten: berth.Known[int64](8193),
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAVolumeIsWhatItsFilesTakeUpEachOnce(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "deep", "deeper"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "deep", "file"), make([]byte, 1<<20), 0o600))
	before, err := walk(t.Context(), dir)
	if err != nil || before < 1<<20 || before > 1<<20+64<<10 {
		t.Errorf("%d bytes, %v", before, err)
	}
	must(os.Link(filepath.Join(dir, "deep", "file"), filepath.Join(dir, "deep", "deeper", "again")))
	must(os.Symlink("/", filepath.Join(dir, "everything")))
	f, err := os.Create(filepath.Join(dir, "hole"))
	must(err)
	must(f.Truncate(1 << 40))
	must(f.Close())
	if after, err := walk(t.Context(), dir); err != nil || after > before+64<<10 {
		t.Errorf("with links and a hole %d bytes, without %d: %v", after, before, err)
	}
	// A path longer than the kernel takes.
	deep, err := os.OpenRoot(dir)
	must(err)
	for range 30 {
		name := strings.Repeat("d", 200)
		must(deep.Mkdir(name, 0o755))
		next, err := deep.OpenRoot(name)
		must(err)
		must(deep.Close())
		deep = next
	}
	must(deep.WriteFile("hidden", make([]byte, 1<<20), 0o600))
	must(deep.Close())
	if n, err := walk(t.Context(), dir); err != nil || n < before+1<<20 {
		t.Errorf("with a long path %d bytes, %v", n, err)
	}
	if _, err := walk(t.Context(), filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a volume that can't be seen: %v", err)
	}
	for n := range walkBatch {
		must(os.WriteFile(filepath.Join(dir, "deep", "n"+string(rune('0'+n%10))+time.Duration(n).String()), nil, 0o600))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := walk(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("it goes on after the end: %v", err)
	}
}
