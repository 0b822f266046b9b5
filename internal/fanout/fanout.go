// Package fanout shares a source of messages among many readers: one source
// runs for each key while somebody reads it, however many they are. No reader
// waits for another.
package fanout

import (
	"context"
	"io"
	"sync"

	"github.com/unite-hub/berth"
)

// Source runs a source that was opened: it hands each message to send, which
// never blocks, and returns at the source's end (nil), or with what broke it.
type Source[M any] func(send func(M)) error

// Hub keeps the sources. Its methods may be called concurrently.
type Hub[K comparable, M any] struct {
	Sources int         // how many run at most
	Buffer  int         // how much waits for one reader, in units of Size
	Size    func(M) int // of one message

	mu    sync.Mutex // before a feed's, where both are taken
	feeds map[K]*feed[M]
}

// feed is one source with its readers.
type feed[M any] struct {
	end    context.CancelFunc
	opened chan struct{} // closed once err says how opening went
	err    error

	mu      sync.Mutex // its own, so that what one source sends holds up no other
	readers map[*Reader[M]]struct{}
}

// Join begins to read the source of key. If nobody reads it yet, it is opened:
// open's context ends when the last reader is gone. first tells whether it was
// this call that opened it. A reader that joins a source hears what comes after
// Join returned.
func (h *Hub[K, M]) Join(ctx context.Context, key K, open func(context.Context) (Source[M], error)) (r *Reader[M], first bool, err error) {
	h.mu.Lock()
	f, there := h.feeds[key]
	if !there && len(h.feeds) >= h.Sources {
		h.mu.Unlock()
		return nil, false, berth.Errorf(berth.CodeEngineUnavailable, "Too many containers' logs are followed at once (%d)", h.Sources).
			WithHint("end those that nobody needs, or read without following")
	}
	var lifetime context.Context
	if !there {
		f = &feed[M]{opened: make(chan struct{}), readers: map[*Reader[M]]struct{}{}}
		lifetime, f.end = context.WithCancel(context.WithoutCancel(ctx))
		if h.feeds == nil {
			h.feeds = map[K]*feed[M]{}
		}
		h.feeds[key] = f
	}
	r = &Reader[M]{most: h.Buffer, size: h.Size, news: make(chan struct{}, 1)}
	r.leave = func() { h.leave(key, f, r) }
	f.mu.Lock()
	f.readers[r] = struct{}{}
	f.mu.Unlock()
	h.mu.Unlock()
	if !there {
		go h.run(lifetime, key, f, open)
	}
	select {
	case <-f.opened:
		err = f.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		r.Close()
		return nil, false, err
	}
	return r, !there, nil
}

// run opens a source and runs it to its end.
func (h *Hub[K, M]) run(lifetime context.Context, key K, f *feed[M], open func(context.Context) (Source[M], error)) {
	defer f.end()
	source, err := open(lifetime)
	f.err = err
	close(f.opened)
	if err == nil {
		err = source(func(m M) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for r := range f.readers {
				r.put(m)
			}
		})
	}
	if err == nil {
		err = io.EOF
	}
	h.mu.Lock()
	h.forget(key, f) // from here on, nobody joins it
	h.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for r := range f.readers {
		r.finish(err)
	}
}

// forget makes room for another source of the key. It is under the hub's lock.
func (h *Hub[K, M]) forget(key K, f *feed[M]) {
	if h.feeds[key] == f {
		delete(h.feeds, key)
	}
}

func (h *Hub[K, M]) leave(key K, f *feed[M], r *Reader[M]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.mu.Lock()
	delete(f.readers, r)
	left := len(f.readers)
	f.mu.Unlock()
	if left == 0 {
		h.forget(key, f)
		f.end()
	}
}

// Reader is one reader of a source.
type Reader[M any] struct {
	most  int
	size  func(M) int
	news  chan struct{} // holds one while there is something new
	leave func()
	once  sync.Once

	mu      sync.Mutex
	waiting []M
	held    int // size of waiting
	missed  int
	err     error // io.EOF: the source is at its end
}

// put hands over a message. Where too much waits, what is oldest is dropped and
// counted: the source goes on for all others.
func (r *Reader[M]) put(m M) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, m)
	r.held += r.size(m)
	for r.held > r.most && len(r.waiting) > 1 {
		r.held -= r.size(r.waiting[0])
		var none M
		r.waiting[0], r.waiting = none, r.waiting[1:]
		r.missed++
	}
	r.wake()
}

func (r *Reader[M]) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.wake()
}

func (r *Reader[M]) wake() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// Next returns the next message, and how many were dropped before it because
// they came faster than they were read. After the last one, the error is io.EOF
// or what broke the source; when ctx ends, it is ctx's.
func (r *Reader[M]) Next(ctx context.Context) (m M, missed int, err error) {
	for {
		if m, missed, ok, err := r.take(); ok || err != nil {
			return m, missed, err
		}
		select {
		case <-r.news:
		case <-ctx.Done():
			return m, 0, ctx.Err()
		}
	}
}

func (r *Reader[M]) take() (m M, missed int, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		return m, 0, false, r.err
	}
	m, missed = r.waiting[0], r.missed
	var none M
	r.waiting[0], r.waiting, r.missed = none, r.waiting[1:], 0
	r.held -= r.size(m)
	return m, missed, true, nil
}

// Close ends reading. The last reader's end is the source's.
func (r *Reader[M]) Close() { r.once.Do(r.leave) }
