package meter

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/unite-hub/berth"
)

// measure asks the engine at an interval what the tenants' disks hold, and has
// it take that long.
func (m *Meter) measure(ctx context.Context) {
	if m.Disk == nil {
		return
	}
	for pause := m.Interval; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		told := map[string]bool{}
		err := m.Disk.Disk(ctx, m.DiskInterval, func(org string, bytes int64) {
			told[org] = true
			m.mu.Lock()
			m.disks[org] = berth.Known(bytes)
			m.mu.Unlock()
			m.warn(org, bytes)
		})
		pause = max(m.Interval, m.DiskInterval-time.Since(began))
		if err != nil {
			if ctx.Err() == nil {
				m.Log.Warn("disks could not be measured", "error", err)
			}
			continue
		}
		m.mu.Lock()
		for org := range m.accounts {
			m.disks[org] = berth.Maybe[int64]{Value: m.disks[org].Value, Known: told[org]}
		}
		maps.DeleteFunc(m.disks, func(org string, _ berth.Maybe[int64]) bool { return !told[org] && m.accounts[org] == nil })
		m.mu.Unlock()
		maps.DeleteFunc(m.level, func(org string, _ int) bool { return !told[org] })
	}
}

// warn tells once that a tenant's disk is nearly full, and once that it is
// full, and again only after it had fallen well below. What Berth stored before
// it was restarted was told.
func (m *Meter) warn(org string, bytes int64) {
	if m.Limit == nil || m.Notice == nil {
		return
	}
	limit := m.Limit(org)
	if limit <= 0 {
		return
	}
	was, judged := m.level[org]
	if !judged {
		m.mu.Lock()
		was = levelOf(m.stored[org], limit)
		delete(m.stored, org)
		m.mu.Unlock()
	}
	percent := bytes * 100 / limit
	level := levelOf(bytes, limit)
	switch {
	case level >= was:
	case percent >= 95, percent >= 85 && was == 90:
		level = was
	case percent >= 85:
		level = 90
	}
	m.level[org] = level
	if level <= was {
		return
	}
	m.Notice(org, berth.EventDisk, fmt.Sprintf("its disk holds %d MB, %d %% of its limit of %d MB; delete data or raise the limit",
		bytes/berth.BytesPerMB, percent, limit/berth.BytesPerMB))
}

// levelOf is how full a disk is: 0, 90 or 100.
func levelOf(bytes, limit int64) int {
	switch percent := bytes * 100 / limit; {
	case percent >= 100:
		return 100
	case percent >= 90:
		return 90
	}
	return 0
}
