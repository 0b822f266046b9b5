package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"
)

// job is work of some length.
type job struct {
	ID     int64
	Millis int
}

// jobs is where a worker finds its work.
type jobs interface {
	// Take hands one job to work, and counts it as done if work returns nil.
	// found is false if there was none, or if it was returned.
	Take(ctx context.Context, work func(context.Context, job) error) (found bool, err error)
}

// How long an idle worker waits before it looks again: longer each time.
const (
	shortestWait = 100 * time.Millisecond
	longestWait  = 2 * time.Second
)

func runWorker(ctx context.Context, c config, logger *slog.Logger) error {
	d, err := openDatabase(ctx, c, "worker")
	if err != nil {
		return err
	}
	defer d.close()
	files, err := os.OpenRoot(c.FilesDir)
	if err != nil {
		return fmt.Errorf("open the files' volume: %w", err)
	}
	defer func() { _ = files.Close() }()
	logger.Info("worker started")
	w := worker{jobs: d, files: files, log: logger}
	w.run(ctx)
	return nil
}

// worker does jobs until its context ends.
type worker struct {
	jobs  jobs
	files *os.Root // where it leaves lastJobFile; nil for none
	log   *slog.Logger
}

// lastJobFile holds the number of the last job done. The web shows it as
// /files/last-job.txt: the two share a volume.
const lastJobFile = "last-job.txt"

// run ends as soon as ctx does: a job in hand goes back, unless it is done.
func (w worker) run(ctx context.Context) {
	wait := shortestWait
	for ctx.Err() == nil {
		var did job
		found, err := w.jobs.Take(ctx, func(ctx context.Context, j job) error {
			did = j
			return pause(ctx, time.Duration(j.Millis)*time.Millisecond)
		})
		switch {
		case ctx.Err() != nil:
			w.log.Info("worker stopped", "jobReturned", did.ID != 0 && !found)
			return
		case err != nil:
			w.log.Warn("could not do a job; trying again", "error", err)
			wait = longestWait
		case found:
			w.leave(did)
			wait = shortestWait
			continue
		}
		// Jitter: the workers of many tenants should not ask in step.
		_ = pause(ctx, wait/2+rand.N(wait/2))
		wait = min(2*wait, longestWait)
	}
}

// leave tells the web, through the shared volume, which job was done last. The
// job is done whether or not that can be written.
func (w worker) leave(j job) {
	if w.files == nil {
		return
	}
	if err := putFile(w.files, lastJobFile, fmt.Appendf(nil, "%d\n", j.ID)); err != nil {
		w.log.Warn("could not write the last job's number", "error", err)
	}
}

// pause returns ctx's error if it ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
