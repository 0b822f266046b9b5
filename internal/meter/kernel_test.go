package meter

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// tree writes files below a root.
func tree(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     900      9    0    0    0     0          0         0      900      9    0    0    0     0       0          0
  eth0:    1500     10    0    0    0     0          0         0     2500     20    0    0    0     0       0          0
  eth1:       7      1    0    0    0     0          0         0        8      1    0    0    0     0       0          0
`

// v1 is what the kernel's version 1 shows below parent.
func v1(parent string) map[string]string {
	files := map[string]string{
		"cpuacct/cpuacct.usage": "2500000000\n", "cpu/cpu.stat": "nr_periods 40\nnr_throttled 3\nthrottled_time 12345\n",
		"memory/memory.usage_in_bytes": "10485760\n", "memory/memory.limit_in_bytes": "536870912\n", "memory/cgroup.procs": "42\n43\n",
		"memory/memory.stat":        "cache 100\ninactive_file 1\nhierarchical_memory_limit 536870912\ntotal_cache 100\ntotal_inactive_file 1048576\n",
		"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
		"pids/pids.current":         "7\n",
		"blkio/blkio.throttle.io_service_bytes": "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 0\n8:0 Total 12288\n" +
			"8:16 Read 4\n8:16 Write 1\nTotal 12293\n",
	}
	out := map[string]string{}
	for name, text := range files {
		controller, file, _ := strings.Cut(name, "/")
		out[controller+"/"+parent+"/"+file] = text
	}
	return out
}

func v2(parent string) map[string]string {
	out := map[string]string{"cgroup.controllers": "cpu io memory pids\n"}
	for file, text := range map[string]string{
		"cpu.stat":       "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 40\nnr_throttled 3\nthrottled_usec 12\n",
		"memory.current": "10485760\n", "memory.max": "536870912\n", "memory.stat": "anon 1\ninactive_anon 5\ninactive_file 1048576\nactive_file 3\n",
		"memory.events": "low 0\nhigh 0\nmax 5\noom 2\noom_kill 2\n", "pids.current": "7\n", "cgroup.procs": "42\n",
		"io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=4 wbytes=1 rios=1 wios=1 dbytes=0 dios=0\n",
	} {
		out[parent+"/"+file] = text
	}
	return out
}

func TestTheKernelsCountersAreReadWhereverAnEnginePutsThem(t *testing.T) {
	want := berth.Sample{
		ContainerID: id, CPU: berth.Known(2500 * time.Millisecond), Throttled: berth.Known[int64](3), Memory: berth.Known[int64](9 << 20),
		MemoryLimit: berth.Known[int64](512 << 20), OOMKills: berth.Known[int64](2), Pids: berth.Known[int64](7),
		NetworkRx: berth.Known[int64](1507), NetworkTx: berth.Known[int64](2508), DiskRead: berth.Known[int64](4100), DiskWritten: berth.Known[int64](8193),
	}
	for name, files := range map[string]map[string]string{
		"version 1":                        v1("docker/" + id),
		"version 1, systemd":               v1("system.slice/docker-" + id + ".scope"),
		"version 1, inside something else": v1("outer/box/docker/" + id),
		"version 2":                        v2("docker/" + id),
		"version 2, systemd":               v2("system.slice/docker-" + id + ".scope"),
		"version 2, inside something else": v2("outer/box/docker/" + id),
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			tree(t, root+"/cgroup", files)
			tree(t, root+"/proc", map[string]string{
				"42/net/dev": netDev, "self/cgroup": "4:memory:/outer/box\n3:blkio:/outer/box\n2:cpu,cpuacct:/outer/box\n1:pids:/outer/box\n0::/outer/box\n",
			})
			k := NewKernel(root+"/cgroup", root+"/proc")
			got, ok := k.Sample(id, noon)
			got.At, got.StartedAt = time.Time{}, time.Time{}
			if !ok || got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestWhatCanNotBeReadIsUnknownAndNotZero(t *testing.T) {
	for name := range v1("docker/" + id) {
		root := t.TempDir()
		files := v1("docker/" + id)
		delete(files, name)
		tree(t, root, files)
		s, ok := NewKernel(root, root+"/none").Sample(id, noon)
		if !ok || s.NetworkRx.Known {
			t.Errorf("without %s: %t, %+v", name, ok, s)
		}
		for what, known := range map[string]bool{
			"cpuacct.usage": s.CPU.Known, "cpu.stat": s.Throttled.Known, "memory.usage_in_bytes": s.Memory.Known, "memory.limit_in_bytes": s.MemoryLimit.Known,
			"memory.oom_control": s.OOMKills.Known, "pids.current": s.Pids.Known, "blkio.throttle.io_service_bytes": s.DiskRead.Known,
		} {
			if known == strings.HasSuffix(name, "/"+what) {
				t.Errorf("without %s, %s is known: %t", name, what, known)
			}
		}
	}
	if _, ok := NewKernel(t.TempDir(), t.TempDir()).Sample(id, noon); ok {
		t.Error("a container that is not there was read")
	}
}

func TestNoLimitIsUnknown(t *testing.T) {
	root := t.TempDir()
	files := v1("docker/" + id)
	files["memory/docker/"+id+"/memory.limit_in_bytes"] = "9223372036854771712\n"
	tree(t, root, files)
	if s, _ := NewKernel(root, root).Sample(id, noon); s.MemoryLimit.Known {
		t.Errorf("limit %d", s.MemoryLimit.Value)
	}
}

func TestAContainerThatHasGoneIsForgotten(t *testing.T) {
	root := t.TempDir()
	tree(t, root, v1("docker/"+id))
	k := NewKernel(root, root)
	if _, ok := k.Sample(id, noon); !ok {
		t.Fatal("not read")
	}
	k.Forget()
	k.Forget()
	if len(k.files) != 0 {
		t.Errorf("%d places are kept", len(k.files))
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if _, ok := k.Sample(id, noon); ok {
		t.Error("it was read all the same")
	}
}

// A container is looked at while its groups are being made anew.
func TestWhatWasNotThereYetIsFoundAfterTheStart(t *testing.T) {
	root := t.TempDir()
	files := v1("docker/" + id)
	late := map[string]string{}
	for name, text := range files {
		if strings.HasPrefix(name, "cpu") {
			late[name] = text
			delete(files, name)
		}
	}
	tree(t, root, files)
	k := NewKernel(root, root)
	if s, ok := k.Sample(id, noon); !ok || s.CPU.Known {
		t.Fatalf("%t, %+v", ok, s)
	}
	tree(t, root, late)
	if s, ok := k.Sample(id, noon.Add(time.Second)); !ok || !s.CPU.Known || !s.Throttled.Known {
		t.Errorf("%t, %+v", ok, s)
	}
}

func TestALongFileIsReadToItsEnd(t *testing.T) {
	root := t.TempDir()
	files := v2("docker/" + id)
	var long strings.Builder
	for n := range 500 {
		fmt.Fprintf(&long, "8:%d rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n", n)
	}
	files["docker/"+id+"/io.stat"] = long.String()
	tree(t, root, files)
	if s, _ := NewKernel(root, root).Sample(id, noon); s.DiskRead.Value != 500*4096 || s.DiskWritten.Value != 500*8192 {
		t.Errorf("read %d, wrote %d", s.DiskRead.Value, s.DiskWritten.Value)
	}
}

// The file tree is on a disk, not the kernel's: opening is alike, formatting is
// not. make bench reads real containers.
func BenchmarkRound(b *testing.B) {
	const containers = 300
	root := b.TempDir()
	for n := range containers {
		tree(b, root, v1(fmt.Sprintf("docker/%064d", n)))
	}
	tree(b, root, map[string]string{"42/net/dev": netDev})
	k := NewKernel(root, root)
	b.ReportAllocs()
	for b.Loop() {
		for n := range containers {
			if _, ok := k.Sample(fmt.Sprintf("%064d", n), noon); !ok {
				b.Fatal("not read")
			}
		}
		k.Forget()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/containers, "µs/container")
}
