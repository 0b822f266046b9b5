package health_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/store"
)

func TestWhatStandsOfAWriteThatFailedIsNotWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.set(memberOf(1), memberOf(2), memberOf(3))
		times := map[time.Time]int{} // by when they were made
		m := health.NewMonitor(health.MonitorConfig{Fleet: w.fleet, Asker: w, Log: slog.New(slog.DiscardHandler), Record: func(_ context.Context, list []berth.Probe) (int, error) {
			times[list[0].CheckedAt]++ // only the first stands, if there are more
			if len(list) > 1 {
				return 1, errors.New("full")
			}
			return 1, nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		for at, n := range times {
			if n != 1 {
				t.Errorf("the probe of %v was written %d times", at, n)
			}
		}
		if len(times) < 10 {
			t.Errorf("%d probes written", len(times))
		}
	})
}

// slowStore is a store that takes a millisecond for each probe, and knows how long
// its longest transaction took.
type slowStore struct {
	store.Store
	most time.Duration
	rows int
}

type slowHealth struct {
	store.Health
	rows *int
}

func (s *slowStore) InTx(_ context.Context, _ berth.Actor, fn func(store.Tx) error) error {
	began := time.Now()
	err := fn(store.Tx{Health: slowHealth{rows: &s.rows}})
	s.most = max(s.most, time.Since(began))
	return err
}

func (t slowHealth) RecordProbes(_ context.Context, list []berth.Probe) error {
	<-time.After(time.Duration(len(list)) * time.Millisecond)
	*t.rows += len(list)
	return nil
}

func TestAnIntervalOfProbesHoldsTheWriterInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{}
		n, err := health.Recorder(s)(t.Context(), make([]berth.Probe, 700))
		if err != nil || n != 700 || s.rows != 700 || s.most > 100*time.Millisecond {
			t.Errorf("%d written, %d put, the writer was held for %v: %v", n, s.rows, s.most, err)
		}
	})
}
