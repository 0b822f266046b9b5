package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// fakeJobs hands out one job after another. fails counts down errors first.
type fakeJobs struct {
	pending []job
	done    []int64
	fails   int
	asked   int
}

func (f *fakeJobs) Take(ctx context.Context, work func(context.Context, job) error) (bool, error) {
	f.asked++
	if f.fails > 0 {
		f.fails--
		return false, errors.New("the database is away")
	}
	if len(f.pending) == 0 {
		return false, nil
	}
	if err := work(ctx, f.pending[0]); err != nil {
		return false, err
	}
	f.done, f.pending = append(f.done, f.pending[0].ID), f.pending[1:]
	return true, nil
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// runFor runs a worker for a time and then waits for its end. It returns how
// long the end took.
func runFor(t *testing.T, w worker, d time.Duration) time.Duration {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		w.run(ctx)
		close(ended)
	}()
	_ = pause(t.Context(), d)
	cancel()
	began := time.Now()
	<-ended
	return time.Since(began)
}

func TestAWorkerDoesAllJobsAndLeavesTheLastOnesNumber(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		jobs := &fakeJobs{pending: []job{{1, 10}, {2, 0}, {3, 10}}, fails: 2}
		runFor(t, worker{jobs: jobs, files: root, log: quiet}, 10*time.Second)
		if len(jobs.done) != 3 || len(jobs.pending) != 0 {
			t.Errorf("done are %v, pending %v", jobs.done, jobs.pending)
		}
	})
	got, err := os.ReadFile(filepath.Join(dir, lastJobFile))
	if err != nil || string(got) != "3\n" {
		t.Errorf("the last job's number is %q, %v", got, err)
	}
}

func TestAWorkerReturnsTheJobInHandAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := &fakeJobs{pending: []job{{1, 30_000}}}
		if took := runFor(t, worker{jobs: jobs, log: quiet}, time.Second); took != 0 {
			t.Errorf("the worker took %s to end", took)
		}
		if len(jobs.pending) != 1 {
			t.Errorf("pending are %v, want the job back", jobs.pending)
		}
	})
}

func TestAnIdleWorkerAsksSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := &fakeJobs{}
		runFor(t, worker{jobs: jobs, log: quiet}, time.Minute)
		if jobs.asked < 30 || jobs.asked > 80 {
			t.Errorf("the worker asked %d times in a minute, want about one in 1 to 2 s", jobs.asked)
		}
	})
}
