package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTicks is the kernel's USER_HZ: 100 on every Linux that Go runs on.
const clockTicks = 100

// cpuOf is the processor time that a process has used, its threads included.
func cpuOf(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in brackets, may hold anything; fields are counted after it.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, errUser := strconv.Atoi(fields[11])
	system, errSystem := strconv.Atoi(fields[12])
	if errUser != nil || errSystem != nil {
		return 0, fmt.Errorf("process %d: unreadable times", pid)
	}
	return time.Duration(user+system) * time.Second / clockTicks, nil
}

// rssOf is the resident memory of a process, in bytes.
func rssOf(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// programOf is how much of a process's resident memory are pages of its program,
// in bytes. The kernel shares them with its file cache.
func programOf(pid int) (total int64, err error) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return 0, err
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return 0, err
	}
	own := false
	for line := range strings.Lines(string(data)) {
		switch fields := strings.Fields(line); {
		case strings.Contains(fields[0], "-"): // a mapping: addresses, rights, offset, device, inode, path
			own = len(fields) == 6 && fields[5] == exe
		case own && fields[0] == "Rss:":
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, err
			}
			total += kb << 10
		}
	}
	return total, nil
}

// engineCPU is what dockerd, containerd and the shims use over a time, in
// percent of one core.
func engineCPU(ctx context.Context, window time.Duration) (float64, error) {
	before, err := engineTime()
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, window); err != nil {
		return 0, err
	}
	after, err := engineTime()
	return 100 * (after - before).Seconds() / window.Seconds(), err
}

func engineTime() (total time.Duration, err error) {
	comms, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return 0, err
	}
	for _, path := range comms {
		name, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		switch n := strings.TrimSpace(string(name)); {
		case n == "dockerd", n == "containerd", strings.HasPrefix(n, "containerd-shim"):
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				return 0, err
			}
			if t, err := cpuOf(pid); err == nil {
				total += t
			}
		}
	}
	return total, nil
}
