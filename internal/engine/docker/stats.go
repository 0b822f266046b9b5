package docker

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// Stats reads what the kernel has counted for one container. The Engine takes
// tens of milliseconds for it: where the kernel's files can be seen, nobody
// asks.
func (e *Engine) Stats(ctx context.Context, containerID string) (out berth.Sample, err error) {
	err = e.do(ctx, step{op: "read statistics"}, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.ContainerStats(ctx, containerID, client.ContainerStatsOptions{})
		if err != nil {
			return err
		}
		defer func() { _ = got.Body.Close() }() // it was only read
		var s container.StatsResponse
		if err := json.NewDecoder(got.Body).Decode(&s); err != nil {
			return err
		}
		out = sampled(containerID, s)
		return nil
	})
	return out, err
}

// sampled puts the Engine's statistics in Berth's words. It does not tell of
// processes that were killed for want of memory.
func sampled(containerID string, s container.StatsResponse) berth.Sample {
	out := berth.Sample{ContainerID: containerID, At: time.Now()}
	if s.Read.IsZero() { // it does not run
		return out
	}
	out.CPU = berth.Known(time.Duration(s.CPUStats.CPUUsage.TotalUsage))
	out.Throttled = berth.Known(int64(s.CPUStats.ThrottlingData.ThrottledPeriods))
	used := int64(s.MemoryStats.Usage)
	for _, name := range []string{"total_inactive_file", "inactive_file"} { // version 1, version 2
		if cache, ok := s.MemoryStats.Stats[name]; ok && int64(cache) <= used {
			used -= int64(cache)
			break
		}
	}
	if s.MemoryStats.Usage > 0 {
		out.Memory, out.MemoryLimit = berth.Known(used), berth.Known(int64(s.MemoryStats.Limit))
	}
	if s.PidsStats.Current > 0 {
		out.Pids = berth.Known(int64(s.PidsStats.Current))
	}
	for _, n := range s.Networks {
		out.NetworkRx = berth.Known(out.NetworkRx.Value + int64(n.RxBytes))
		out.NetworkTx = berth.Known(out.NetworkTx.Value + int64(n.TxBytes))
	}
	for _, io := range s.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(io.Op) {
		case "read":
			out.DiskRead = berth.Known(out.DiskRead.Value + int64(io.Value))
		case "write":
			out.DiskWritten = berth.Known(out.DiskWritten.Value + int64(io.Value))
		}
	}
	return out
}
