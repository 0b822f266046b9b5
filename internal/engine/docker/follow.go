package docker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/fanout"
)

const (
	// mostBehind is how much of a container's log waits for one reader, in
	// bytes; beyond, the reader misses what is oldest.
	mostBehind = 128 << 10
	// messageSize is what a message takes beside its text.
	messageSize = 64
	// mostSeen is how many messages of what was read before are known again: all
	// that can wait for a reader while it reads what came before, and as many that
	// are not in order.
	mostSeen = 2 * mostBehind / messageSize
	// disorder is how far apart the times of messages may be that are not in
	// order: the two streams of a container are read side by side.
	disorder = time.Second
	// mostBetween is how many messages may come between what was read of a log
	// and the moment from which it is followed.
	mostBetween = 1000
)

// message is what a container wrote at once: a line, or a part of a long one.
type message struct {
	at     time.Time // zero if the Engine did not say
	stderr bool
	text   []byte // not to be changed: readers share it
}

func newTails(most int) *fanout.Hub[string, message] {
	return &fanout.Hub[string, message]{Sources: most, Buffer: mostBehind, Size: func(m message) int { return messageSize + len(m.text) }}
}

// follower reads one container's log: what there is, and then what comes. What
// comes is shared with all who follow the container, so that between the two
// nothing is lost and nothing comes twice only because each message's time and
// text are compared.
type follower struct {
	*logs
	keptLog
	stdout, stderr *lineStream

	first, last time.Time // of the messages that were read; what is not after first is none of what comes
	seed        maphash.Seed
	seen        map[uint64]bool
	recent      []remembered // of seen, the oldest at next
	next        int
}

// remembered is a message that is known again.
type remembered struct {
	at  time.Time
	sum uint64
}

// history writes what a stream that is not followed holds, except what was
// written already.
func (f *follower) history(ctx context.Context, body io.ReadCloser) error {
	defer func() { _ = body.Close() }()
	return f.broken(ctx, f.keptLog, frames(body, func(stderr bool, p []byte) error {
		m := message{stderr: stderr, text: p}
		if f.options.Follow {
			if m = readMessage(stderr, p); !f.isNew(m) {
				return nil
			}
			f.remember(m)
		}
		return f.write(m)
	}))
}

// follow writes what comes until the container's log is at its end.
func (f *follower) follow(ctx context.Context) error {
	r, _, err := f.engine.tails.Join(ctx, f.id, f.tail)
	if errdefs.IsNotFound(err) || ctx.Err() != nil {
		return nil // it was removed since, or the reader is gone
	}
	if err != nil {
		return err
	}
	defer r.Close()
	// What came before this reader did is not in the stream, and of what came while
	// it read, the stream begins with the latest messages only.
	body, err := f.open(ctx, f.keptLog, f.since(-1))
	if err == nil {
		err = f.history(ctx, body)
	}
	if err != nil && !errdefs.IsNotFound(err) { // of one that was removed since, the stream has the rest
		return err
	}
	for {
		m, missed, err := r.Next(ctx)
		if missed > 0 {
			if err := f.tellMissed(missed); err != nil {
				return nil // the reader is gone
			}
		}
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return f.broken(ctx, f.keptLog, err)
		}
		if f.isNew(m) {
			if f.write(m) != nil {
				return nil // the reader is gone
			}
		}
	}
}

// since asks for what comes after all that was read, and what may have come
// before it and be written after it.
func (f *follower) since(tail int) berth.LogOptions {
	o := berth.LogOptions{Since: f.last.Add(-disorder), Tail: tail}
	if f.last.IsZero() {
		o = berth.LogOptions{Since: f.options.Since, Tail: -1}
	}
	return o
}

// tail opens the stream that all who follow the container share.
func (f *follower) tail(ctx context.Context) (fanout.Source[message], error) {
	o := f.since(mostBetween)
	o.Follow = true
	body, err := f.open(ctx, f.keptLog, o)
	if err != nil {
		return nil, err
	}
	return func(send func(message)) error {
		defer func() { _ = body.Close() }()
		return frames(body, func(stderr bool, p []byte) error {
			send(readMessage(stderr, append([]byte(nil), p...)))
			return nil
		})
	}, nil
}

// isNew reports whether a message was not written yet.
func (f *follower) isNew(m message) bool {
	if f.last.IsZero() || m.at.IsZero() || m.at.After(f.last) {
		if f.seen != nil && m.at.Sub(f.last) > disorder {
			f.seen, f.recent, f.next = nil, nil, 0
		}
		return true
	}
	return f.seen != nil && m.at.After(f.first) && f.last.Sub(m.at) < disorder && !f.seen[f.sum(m)]
}

func (f *follower) remember(m message) {
	if m.at.IsZero() {
		return
	}
	if f.seen == nil {
		f.seen, f.seed = map[uint64]bool{}, maphash.MakeSeed()
	}
	if f.first.IsZero() {
		f.first = m.at
	}
	if m.at.After(f.last) {
		f.last = m.at
	}
	r := remembered{m.at, f.sum(m)}
	f.seen[r.sum] = true
	if len(f.recent) < mostSeen {
		f.recent = append(f.recent, r)
		return
	}
	// What is forgotten could be taken for new: nothing from its time or before is,
	// any more.
	forgotten := f.recent[f.next]
	delete(f.seen, forgotten.sum)
	if forgotten.at.After(f.first) {
		f.first = forgotten.at
	}
	f.recent[f.next], f.next = r, (f.next+1)%mostSeen
}

func (f *follower) sum(m message) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	_, _ = fmt.Fprint(&h, m.at.UnixNano(), m.stderr, " ") // a hash takes everything
	_, _ = h.Write(m.text)
	return h.Sum64()
}

func (f *follower) write(m message) (err error) {
	if m.stderr {
		_, err = f.stderr.Write(m.text)
	} else {
		_, err = f.stdout.Write(m.text)
	}
	return err
}

// end writes last lines that have no end.
func (f *follower) end() {
	f.stdout.end()
	f.stderr.end()
}

// tellMissed says in the reader's own stream that it was too slow.
func (f *follower) tellMissed(n int) error {
	f.end()
	return f.stdout.put(fmt.Appendf(nil, "[berth] %d lines were missed here: they came faster than they were read\n", n))
}

// frames splits what the Engine sends into what a container wrote at once.
func frames(body io.Reader, each func(stderr bool, p []byte) error) error {
	_, err := stdcopy.StdCopy(frameWriter(func(p []byte) error { return each(false, p) }), frameWriter(func(p []byte) error { return each(true, p) }), body)
	return err
}

// frameWriter is called once with each frame: StdCopy writes it whole.
type frameWriter func(p []byte) error

func (w frameWriter) Write(p []byte) (int, error) {
	if err := w(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// readMessage takes a frame apart that begins with its time.
func readMessage(stderr bool, p []byte) message {
	const layout = "2006-01-02T15:04:05.000000000Z"
	if len(p) > len(layout) && p[len(layout)] == ' ' {
		if at, err := time.Parse(layout, string(p[:len(layout)])); err == nil {
			return message{at, stderr, p[len(layout)+1:]}
		}
	}
	return message{stderr: stderr, text: p}
}
