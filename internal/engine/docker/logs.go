package docker

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// Logs returns what the containers of a tenant wrote, line by line: the log of
// one container after the other, and if o says so, what they go on to write, as
// it comes. Whoever follows a container shares one stream of the Engine with all
// others who do. Closing the reader ends it.
func (e *Engine) Logs(ctx context.Context, organizationID string, o berth.LogOptions) (io.ReadCloser, error) {
	h, err := e.look(ctx, organizationID, byName)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	l := &logs{engine: e, tenant: organizationID, options: o, out: &lines{to: w}}
	for _, c := range h.containers {
		k := keptLog{id: c.ID, name: nameOf(c)}
		if len(h.containers) > 1 {
			k.prefix = c.Labels[berth.LabelService] + "-" + c.Labels[berth.LabelReplica] + " | "
		}
		l.containers = append(l.containers, k)
	}
	begun := make(chan error, 1)
	go func() {
		defer cancel()
		_ = w.CloseWithError(l.read(ctx, func(err error) { // nil is io.EOF to the reader
			select {
			case begun <- err:
			default: // only the first matters
			}
		}))
	}()
	if err := <-begun; err != nil {
		cancel()
		_ = r.Close()
		return nil, err
	}
	return &logReader{PipeReader: r, cancel: cancel}, nil
}

// logs is one reading of a tenant's logs.
type logs struct {
	engine     *Engine
	tenant     string
	options    berth.LogOptions
	containers []keptLog
	out        *lines
}

// keptLog is the log of one container.
type keptLog struct {
	id, name, prefix string
}

// read reads what there is, one container at a time, so that a reader has one
// stream of its own at most; then it follows all. begun hears whether the Engine
// answers.
func (l *logs) read(ctx context.Context, begun func(error)) error {
	var unfinished []*follower
	past := l.options
	past.Follow = false
	for _, c := range l.containers {
		f := &follower{logs: l, keptLog: c, stdout: l.out.stream(c.prefix), stderr: l.out.stream(c.prefix)}
		body, err := l.open(ctx, c, past)
		if begun(err); err != nil {
			return err
		}
		if err := f.history(ctx, body); err != nil {
			return err
		}
		if l.options.Follow {
			unfinished = append(unfinished, f)
		} else {
			f.end()
		}
	}
	begun(nil)
	var readers sync.WaitGroup
	for _, f := range unfinished {
		readers.Go(func() {
			l.out.fail(f.follow(ctx))
			f.end()
		})
	}
	readers.Wait()
	return l.out.err()
}

// open begins to read one container's log. The deadline is on the beginning of
// the answer: what follows may come for ever.
func (l *logs) open(ctx context.Context, c keptLog, o berth.LogOptions) (body io.ReadCloser, err error) {
	// To know what was read already, who follows needs to know when it was written.
	opts := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: o.Follow, Timestamps: l.options.Follow, Tail: "100"}
	if o.Tail < 0 {
		opts.Tail = "all"
	} else if o.Tail > 0 {
		opts.Tail = strconv.Itoa(o.Tail)
	}
	if !o.Since.IsZero() {
		opts.Since = o.Since.Format(time.RFC3339Nano)
	}
	op := "read log of " + c.name
	call, cancel := context.WithCancel(ctx)
	overdue := time.AfterFunc(l.engine.ReadTimeout, cancel)
	body, err = l.engine.api.ContainerLogs(call, c.id, opts)
	if !overdue.Stop() && ctx.Err() == nil {
		if err == nil {
			_ = body.Close()
		}
		return nil, berth.Errorf(berth.CodeEngineUnavailable, "The Engine did not answer within %s", l.engine.ReadTimeout).
			WithHint(engineHint).WithOp(op, l.tenant)
	}
	if err != nil {
		cancel()
		return nil, l.engine.explain(ctx, ctx, l.engine.ReadTimeout, err).WithOp(op, l.tenant)
	}
	return body, nil
}

// broken is what it means that a container's log ended with err, nil for its end.
func (l *logs) broken(ctx context.Context, c keptLog, err error) error {
	if err == nil || ctx.Err() != nil { // nobody reads any more
		return nil
	}
	return l.engine.explain(ctx, ctx, l.engine.ReadTimeout, err).WithOp("read log of "+c.name, l.tenant)
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
	if err == nil {
		return
	}
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
