// Package meter samples what tenants use, and keeps the history of it.
package meter

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unite-hub/berth"
)

// Kernel reads the counters that the kernel keeps of each container, from
// cgroup files of version 1 or 2 and from /proc. It opens and reads every file
// anew and keeps only where they are: a thousand containers would need nine
// thousand descriptors.
type Kernel struct {
	cgroup, proc string

	mu    sync.Mutex
	buf   []byte
	files map[string]*containerFiles // by container id
}

// containerFiles is where one container's files are. An empty path means that there is
// no such file.
type containerFiles struct {
	v2                        bool
	cpu, throttled            string
	memory, memoryStat, limit string
	oom, pids, io, procs      string
	seen                      bool      // in this round
	startedAt                 time.Time // of the container: another start makes its groups anew
}

// NewKernel returns a Kernel that reads below the given roots: /sys/fs/cgroup
// and /proc on a real machine.
func NewKernel(cgroup, proc string) *Kernel {
	return &Kernel{cgroup: cgroup, proc: proc, buf: make([]byte, 16<<10), files: map[string]*containerFiles{}}
}

// Sample reads one container. ok is false if none of its files can be seen.
func (k *Kernel) Sample(containerID string, startedAt time.Time) (s berth.Sample, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.files[containerID]
	if p == nil || !p.startedAt.Equal(startedAt) {
		if p = k.find(containerID); p == nil {
			delete(k.files, containerID)
			return berth.Sample{}, false
		}
		p.startedAt = startedAt
		k.files[containerID] = p
	}
	p.seen = true
	s = berth.Sample{ContainerID: containerID, At: time.Now(), StartedAt: startedAt}
	if p.v2 {
		k.readV2(p, &s)
	} else {
		k.readV1(p, &s)
	}
	k.readNetwork(p, &s)
	if !s.CPU.Known && !s.Memory.Known {
		delete(k.files, containerID) // it has gone, or moved
		return berth.Sample{}, false
	}
	return s, true
}

// Forget drops the places of containers that were not sampled since the last
// call.
func (k *Kernel) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, p := range k.files {
		if !p.seen {
			delete(k.files, id)
		}
		p.seen = false
	}
}

// find looks where an Engine puts a container's cgroup: with the cgroupfs
// driver below docker, with the systemd one as a scope; either also below the
// cgroup that the Engine itself is in.
func (k *Kernel) find(id string) *containerFiles {
	v2 := exists(filepath.Join(k.cgroup, "cgroup.controllers"))
	if v2 {
		if dir := k.search("", id); dir != "" {
			return &containerFiles{
				v2: true, cpu: dir + "/cpu.stat", memory: dir + "/memory.current", memoryStat: dir + "/memory.stat", limit: dir + "/memory.max",
				oom: dir + "/memory.events", pids: dir + "/pids.current", io: dir + "/io.stat", procs: dir + "/cgroup.procs",
			}
		}
		return nil
	}
	cpu, cpuacct, memory := k.search("cpu", id), k.search("cpuacct", id), k.search("memory", id)
	pids, blkio := k.search("pids", id), k.search("blkio", id)
	if cpuacct == "" && memory == "" {
		return nil
	}
	return &containerFiles{
		cpu: in(cpuacct, "cpuacct.usage"), throttled: in(cpu, "cpu.stat"),
		memory: in(memory, "memory.usage_in_bytes"), memoryStat: in(memory, "memory.stat"), limit: in(memory, "memory.limit_in_bytes"),
		oom: in(memory, "memory.oom_control"), pids: in(pids, "pids.current"), io: in(blkio, "blkio.throttle.io_service_bytes"),
		procs: in(firstOf(memory, cpuacct), "cgroup.procs"),
	}
}

func in(dir, file string) string {
	if dir == "" {
		return ""
	}
	return dir + "/" + file
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// search returns the directory of a container below one controller's root, ""
// if there is none.
func (k *Kernel) search(controller, id string) string {
	root := filepath.Join(k.cgroup, controller)
	for _, parent := range []string{"", k.parent(controller)} {
		for _, name := range []string{"docker/" + id, "system.slice/docker-" + id + ".scope"} {
			if dir := filepath.Join(root, parent, name); exists(dir) {
				return dir
			}
		}
	}
	return ""
}

// parent is the cgroup of this process below a controller: an Engine that runs
// inside a container puts its own there.
func (k *Kernel) parent(controller string) string {
	data := k.read(filepath.Join(k.proc, "self", "cgroup"))
	for line := range bytes.Lines(data) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) == 3 && (controller == "" && parts[0] == "0" || controller != "" && hasField(parts[1], controller)) {
			return parts[2]
		}
	}
	return ""
}

func hasField(list, field string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if part == field {
			return true
		}
	}
	return false
}

func exists(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil
}

const largestFile = 1 << 20

// read returns a small file's content, nil if it can't be read. It is valid
// until the next read. k.mu is held.
func (k *Kernel) read(path string) []byte {
	if path == "" {
		return nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }() // it was only read
	n := 0
	for {
		if n == len(k.buf) {
			if n >= largestFile {
				return nil // half of it would be a wrong sum
			}
			k.buf = append(k.buf, make([]byte, n)...)
		}
		got, err := unix.Read(fd, k.buf[n:])
		if err != nil {
			return nil
		}
		if got == 0 {
			break
		}
		n += got
	}
	return k.buf[:n]
}

// number reads a file that holds one number. "max" is none.
func (k *Kernel) number(path string) berth.Maybe[int64] {
	return parse(bytes.TrimSpace(k.read(path)))
}

func parse(text []byte) berth.Maybe[int64] {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return berth.Maybe[int64]{}
	}
	return berth.Known(n)
}

// field finds "name value" among the lines of a file.
func field(data []byte, name string) berth.Maybe[int64] {
	for line := range bytes.Lines(data) {
		key, value, ok := bytes.Cut(line, []byte(" "))
		if ok && string(key) == name {
			return parse(bytes.TrimSpace(value))
		}
	}
	return berth.Maybe[int64]{}
}

func (k *Kernel) readV1(p *containerFiles, s *berth.Sample) {
	if ns := k.number(p.cpu); ns.Known {
		s.CPU = berth.Known(time.Duration(ns.Value))
	}
	s.Throttled = field(k.read(p.throttled), "nr_throttled")
	s.Memory = less(k.number(p.memory), field(k.read(p.memoryStat), "total_inactive_file"))
	s.MemoryLimit = bounded(k.number(p.limit))
	s.OOMKills = field(k.read(p.oom), "oom_kill")
	s.Pids = k.number(p.pids)
	if data := k.read(p.io); data != nil {
		s.DiskRead, s.DiskWritten = berth.Known[int64](0), berth.Known[int64](0)
		for line := range bytes.Lines(data) { // "8:0 Read 4096"
			f := bytes.Fields(line)
			if len(f) != 3 {
				continue
			}
			switch n := parse(f[2]).Value; string(f[1]) {
			case "Read":
				s.DiskRead.Value += n
			case "Write":
				s.DiskWritten.Value += n
			}
		}
	}
}

func (k *Kernel) readV2(p *containerFiles, s *berth.Sample) {
	if data := k.read(p.cpu); data != nil {
		if us := field(data, "usage_usec"); us.Known {
			s.CPU = berth.Known(time.Duration(us.Value) * time.Microsecond)
		}
		s.Throttled = field(data, "nr_throttled")
	}
	s.Memory = less(k.number(p.memory), field(k.read(p.memoryStat), "inactive_file"))
	s.MemoryLimit = bounded(k.number(p.limit))
	s.OOMKills = field(k.read(p.oom), "oom_kill")
	s.Pids = k.number(p.pids)
	if data := k.read(p.io); data != nil {
		s.DiskRead, s.DiskWritten = berth.Known[int64](0), berth.Known[int64](0)
		for word := range bytes.FieldsSeq(data) { // "8:0 rbytes=4096 wbytes=0 …"
			name, value, _ := bytes.Cut(word, []byte("="))
			switch string(name) {
			case "rbytes":
				s.DiskRead.Value += parse(value).Value
			case "wbytes":
				s.DiskWritten.Value += parse(value).Value
			}
		}
	}
}

// less takes the page cache that the kernel can take back at once off what is
// in use, as the Engine's own statistics do.
func less(usage, inactive berth.Maybe[int64]) berth.Maybe[int64] {
	if usage.Known && inactive.Known && inactive.Value <= usage.Value {
		usage.Value -= inactive.Value
	}
	return usage
}

// bounded leaves out the huge number by which version 1 says that there is no
// limit.
func bounded(n berth.Maybe[int64]) berth.Maybe[int64] {
	if n.Value >= 1<<60 {
		return berth.Maybe[int64]{}
	}
	return n
}

// readNetwork sums up what the container's interfaces counted, but for the
// loopback: /proc/PID/net/dev shows the network namespace of that process.
func (k *Kernel) readNetwork(p *containerFiles, s *berth.Sample) {
	if data := k.network(p); data != nil {
		rx, tx := int64(0), int64(0)
		known := false
		for line := range bytes.Lines(data) {
			name, rest, ok := bytes.Cut(line, []byte(":"))
			if !ok || string(bytes.TrimSpace(name)) == "lo" {
				continue
			}
			f := bytes.Fields(rest)
			if len(f) < 9 {
				continue
			}
			rx, tx, known = rx+parse(f[0]).Value, tx+parse(f[8]).Value, true
		}
		if known {
			s.NetworkRx, s.NetworkTx = berth.Known(rx), berth.Known(tx)
		}
	}
}

// network reads the counters of the container's first process. Which that is
// is looked up each time: a number that was freed may be any process's.
func (k *Kernel) network(p *containerFiles) []byte {
	first, _, _ := bytes.Cut(k.read(p.procs), []byte("\n"))
	if len(first) == 0 {
		return nil
	}
	return k.read(k.proc + "/" + string(first) + "/net/dev")
}
