package docker

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// Logs returns what the containers of a tenant wrote, line by line as it
// comes. Closing the reader ends it.
func (e *Engine) Logs(ctx context.Context, organizationID string, o berth.LogOptions) (io.ReadCloser, error) {
	h, err := e.look(ctx, organizationID, byName)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	out := &lines{to: w}
	var readers sync.WaitGroup
	for _, c := range h.containers {
		prefix := ""
		if len(h.containers) > 1 {
			prefix = c.Labels[berth.LabelService] + "-" + c.Labels[berth.LabelReplica] + " | "
		}
		body, err := e.openLog(ctx, organizationID, c, o)
		if err != nil {
			cancel()
			_ = r.Close()
			readers.Wait()
			return nil, err
		}
		readers.Go(func() {
			defer body.Close()
			stdout, stderr := out.stream(prefix), out.stream(prefix)
			_, err := stdcopy.StdCopy(stdout, stderr, body)
			stdout.end()
			stderr.end()
			if err != nil && ctx.Err() == nil {
				out.fail(e.explain(ctx, ctx, e.ReadTimeout, err).WithOp("read log of "+nameOf(c), organizationID))
			}
		})
	}
	go func() {
		readers.Wait()
		_ = w.CloseWithError(out.err()) // nil is io.EOF to the reader
	}()
	return &logReader{PipeReader: r, cancel: cancel}, nil
}

// openLog begins to read one container's log. The deadline is on the beginning
// of the answer: what follows may come for ever.
func (e *Engine) openLog(ctx context.Context, tenant string, c container.Summary, o berth.LogOptions) (body io.ReadCloser, err error) {
	opts := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: o.Follow, Tail: "100"}
	if o.Tail < 0 {
		opts.Tail = "all"
	} else if o.Tail > 0 {
		opts.Tail = strconv.Itoa(o.Tail)
	}
	if !o.Since.IsZero() {
		opts.Since = o.Since.Format(time.RFC3339Nano)
	}
	s := step{"read log of " + nameOf(c), tenant}
	call, cancel := context.WithCancel(ctx)
	overdue := time.AfterFunc(e.ReadTimeout, cancel)
	body, err = e.api.ContainerLogs(call, c.ID, opts)
	if !overdue.Stop() && ctx.Err() == nil {
		if err == nil {
			_ = body.Close()
		}
		return nil, berth.Errorf(berth.CodeEngineUnavailable, "The Engine did not answer within %s", e.ReadTimeout).
			WithHint(engineHint).WithOp(s.op, s.tenant)
	}
	if err != nil {
		cancel()
		return nil, e.explain(ctx, ctx, e.ReadTimeout, err).WithOp(s.op, s.tenant)
	}
	return body, nil
}

// logReader ends the calls behind it when it is closed.
type logReader struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (r *logReader) Close() error {
	r.cancel()
	return r.PipeReader.Close()
}

// lines writes whole lines of several streams to one place.
type lines struct {
	mu    sync.Mutex
	to    io.Writer
	first error
}

func (l *lines) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = err
	}
}

func (l *lines) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

func (l *lines) stream(prefix string) *lineStream { return &lineStream{lines: l, prefix: prefix} }

// lineStream is one stream of one container.
type lineStream struct {
	*lines
	prefix string
	rest   []byte // of a line whose end has not come yet
}

// maxLine bounds what is held back of a line without an end.
const maxLine = 64 << 10

func (s *lineStream) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		i := bytes.IndexByte(s.rest, '\n')
		if i < 0 {
			if len(s.rest) < maxLine {
				return len(p), nil
			}
			i = len(s.rest) - 1
		}
		line := s.rest[:i+1]
		s.rest = s.rest[i+1:]
		if err := s.put(line); err != nil {
			return 0, err
		}
	}
}

// end writes a last line that has no end.
func (s *lineStream) end() {
	if len(s.rest) > 0 {
		_ = s.put(append(s.rest, '\n')) // the reader has gone if this fails
		s.rest = nil
	}
}

func (s *lineStream) put(line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.to.Write(append([]byte(s.prefix), line...))
	return err
}
