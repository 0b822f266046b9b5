package meter

import (
	"context"
	"fmt"
	"time"

	"github.com/unite-hub/berth"
)

// measure asks the engine at an interval what the tenants' disks hold.
func (m *Meter) measure(ctx context.Context) {
	if m.Disk == nil {
		return
	}
	for pause := m.Interval; ; pause = m.DiskInterval {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		bytes, err := m.Disk.Disk(ctx)
		if err != nil {
			if ctx.Err() == nil {
				m.Log.Warn("disks could not be measured", "error", err)
			}
			continue
		}
		m.mu.Lock()
		m.disks = bytes
		m.mu.Unlock()
		for org, n := range bytes {
			m.warn(org, n)
		}
	}
}

// warn tells once that a tenant's disk is nearly full, and once that it is
// full, and again only after it had fallen well below.
func (m *Meter) warn(org string, bytes int64) {
	if m.Limit == nil || m.Notice == nil {
		return
	}
	limit := m.Limit(org)
	if limit <= 0 {
		return
	}
	percent := bytes * 100 / limit
	was := m.level[org]
	switch {
	case percent >= 100 && was < 100:
		m.level[org] = 100
	case percent >= 90 && was < 90:
		m.level[org] = 90
	case percent < 85:
		delete(m.level, org)
		return
	case percent < 95 && was == 100:
		m.level[org] = 90
		return
	default:
		return
	}
	m.Notice(org, berth.EventDisk, fmt.Sprintf("its disk holds %d MB, %d %% of its limit of %d MB; delete data or raise the limit",
		bytes/berth.BytesPerMB, percent, limit/berth.BytesPerMB))
}
