package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// writer is a store that knows how long each transaction held it. It runs each
// one twice, as a store may, and refuses those from a number on.
type writer struct {
	store.Store
	held   []time.Duration
	refuse int                  // 0: none
	began  func() (undo func()) // at the begin of a transaction; undo is called before it is run again
}

func (w *writer) InTx(_ context.Context, _ berth.Actor, fn func(store.Tx) error) error {
	if w.refuse > 0 && len(w.held) >= w.refuse {
		return errors.New("refused")
	}
	undo := func() {}
	if w.began != nil {
		undo = w.began()
	}
	for run := range 2 {
		if run > 0 {
			undo()
		}
		began := time.Now()
		if err := fn(store.Tx{}); err != nil {
			return err
		}
		w.held = append(w.held, time.Since(began))
	}
	return nil
}

func rowsOf(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

func TestNoBatchHoldsTheWriterForLong(t *testing.T) {
	for name, row := range map[string]time.Duration{"quick rows": 10 * time.Microsecond, "slow rows": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &writer{}
				last := map[int]int{} // how often each row was put
				n, err := store.InBatches(t.Context(), w, rowsOf(10_000), func(_ store.Tx, part []int) error {
					<-time.After(time.Duration(len(part)) * row)
					for _, i := range part {
						last[i]++
					}
					return nil
				})
				if err != nil || n != 10_000 {
					t.Fatalf("%d written, %v", n, err)
				}
				if most := slices.Max(w.held); most > 100*time.Millisecond {
					t.Errorf("a transaction held the writer for %v", most)
				}
				for i := range 10_000 {
					if last[i] != 2 { // each transaction is run twice
						t.Fatalf("row %d was put %d times", i, last[i])
					}
				}
			})
		})
	}
}

func TestABatchThatIsRefusedSaysHowMuchStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{refuse: 4} // two transactions, each run twice
		var stands []int
		n, err := store.InBatches(t.Context(), w, rowsOf(1000), func(_ store.Tx, part []int) error {
			<-time.After(time.Duration(len(part)) * time.Millisecond)
			stands = append(stands, part...)
			return nil
		})
		if err == nil || n != 100 || len(stands) != 200 {
			t.Errorf("%d written, %d put, %v", n, len(stands), err)
		}
	})
}

// What is old is dropped until there is no more, and a transaction takes no more once
// it has held the writer for its time, however many rows are left.
func TestForgettingHoldsTheWriterForAShortTimeOnly(t *testing.T) {
	for name, c := range map[string]struct {
		row time.Duration
		old int // rows that each transaction finds on its first run, as the second finds them again
	}{"quick rows": {10 * time.Microsecond, 10_000}, "slow rows": {time.Millisecond, 1_000}, "none": {time.Millisecond, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				left := c.old
				w := &writer{began: func() func() { before := left; return func() { left = before } }}
				err := store.Forget(t.Context(), w, func(_ store.Tx, limit int) (int, error) {
					n := min(limit, left)
					left -= n
					<-time.After(time.Duration(n) * c.row)
					return n, nil
				})
				if err != nil || left != 0 {
					t.Fatalf("%d left, %v", left, err)
				}
				if most := slices.Max(w.held); most > 100*time.Millisecond {
					t.Errorf("a transaction held the writer for %v", most)
				}
				if total := time.Duration(c.old) * c.row; len(w.held)/2 > 1+int(total/(50*time.Millisecond)) {
					t.Errorf("%d transactions for what takes %v", len(w.held)/2, total)
				}
			})
		})
	}
}
