package meter_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/meter"
)

type notices struct {
	mu   sync.Mutex
	list []string
}

func (n *notices) notice(org string, kind string, _ string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, org[len(org)-1:]+" "+kind)
}

func TestADiskIsToldOfOnceNearItsLimitAndOnceAbove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		var told notices
		s := open(t, path, 1)
		percents := []int64{50, 91, 95, 89, 91, 101, 110, 94, 102, 80, 92}
		disk := &disks{percents: percents}
		m := meter.New(meter.Config{DiskInterval: time.Minute}, meter.Parts{
			Store: s, Sampler: steady{time.Now()}, Disk: disk, Log: slog.New(slog.DiscardHandler), Notice: told.notice,
			Fleet: func() []*berth.Member { return nil }, Limit: func(string) int64 { return 100 << 20 },
		})
		runFor(t, m.Run, 15*time.Minute)
		if got := fmt.Sprint(told.list); got != "[0 disk 0 disk 0 disk 0 disk]" { // at 91, 101, 102 and 92 %
			t.Errorf("told %s", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

type disks struct {
	percents []int64 // of 100 MB, pass by pass; below 0 it can't be measured
	n        int
}

func (d *disks) Disk(_ context.Context, _ time.Duration, tell func(string, int64)) error {
	percent := d.percents[min(d.n, len(d.percents)-1)]
	d.n++
	if percent >= 0 {
		tell(org(0), percent<<20)
	}
	return nil
}

func TestADiskIsNotToldOfAgainBecauseBerthWasRestarted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var told notices
		s := open(t, path, 1)
		for _, percents := range [][]int64{{50, 91}, {92, 93}, {88, 87}, {86, 101}, {103}, {97}, {80}, {95}} {
			m := meter.New(meter.Config{DiskInterval: 5 * time.Minute}, meter.Parts{
				Store: s, Sampler: steady{began}, Disk: &disks{percents: percents}, Log: slog.New(slog.DiscardHandler), Notice: told.notice,
				Fleet: func() []*berth.Member {
					return []*berth.Member{{OrganizationID: org(0), InstanceID: "c", StartedAt: began}}
				},
				Limit: func(string) int64 { return 100 << 20 },
			})
			runFor(t, m.Run, 10*time.Minute)
			if r, _ := m.Now(org(0)); !r.DiskBytes.Known {
				t.Errorf("%v: the disk is not known", percents)
			}
		}
		if got := fmt.Sprint(told.list); got != "[0 disk 0 disk 0 disk]" { // at 91, 101 and 95 %
			t.Errorf("told %s", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestADiskThatCanNotBeMeasuredAnyMoreIsNotKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := open(t, path, 1)
		m := meter.New(meter.Config{}, meter.Parts{
			Store: s, Sampler: steady{began}, Disk: &disks{percents: []int64{50, -1}}, Log: slog.New(slog.DiscardHandler),
			Fleet: func() []*berth.Member {
				return []*berth.Member{{OrganizationID: org(0), InstanceID: "c", StartedAt: began}}
			},
		})
		var known []bool
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			for range 3 {
				<-time.After(3 * time.Minute)
				r, _ := m.Now(org(0))
				known = append(known, r.DiskBytes.Known)
			}
		}()
		runFor(t, m.Run, 10*time.Minute)
		<-asked
		if fmt.Sprint(known) != "[true false false]" {
			t.Errorf("known after 3, 6 and 9 minutes: %v", known)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
