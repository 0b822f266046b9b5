package edge

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// What is left of a body that nobody wants is read, so that the connection
	// can go on, up to so many bytes and for so long.
	leftoverBytes = 256 << 10
	leftoverTime  = 2 * time.Second

	// linger is how long a connection that is over waits for what its client still
	// sends: closing at once would take back the answer. lingerMost and lingerBytes
	// bound it in all.
	linger      = 2 * time.Second
	lingerMost  = 10 * time.Second
	lingerBytes = 64 << 20
)

// pacedBody is a request's body that must come at some rate, until the answer
// begins. Only the time counts in which somebody waits for it.
type pacedBody struct {
	io.ReadCloser
	flow *flow

	left atomic.Bool // the request is over

	mu     sync.Mutex // held while somebody reads
	waited time.Duration
	came   int64
	ended  bool // nothing more comes
}

func (b *pacedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	conn, opts := b.flow.conn, &b.flow.listener.edge.opts
	if b.flow.begun.Load() {
		return b.read(p)
	}
	// In whole numbers of nanoseconds, 10 GB would be more than 64 bits hold.
	rest := opts.BodyGrace + time.Duration(float64(b.came)/float64(opts.MinBodyRate)*float64(time.Second)) - b.waited
	began := time.Now()
	_ = conn.SetReadDeadline(began.Add(rest))
	if b.flow.begun.Load() { // meanwhile, and before this deadline was set
		_ = conn.SetReadDeadline(time.Time{})
	}
	if b.left.Load() { // likewise
		return 0, http.ErrBodyReadAfterClose
	}
	conn.paced.Store(true)
	n, err := b.read(p)
	conn.paced.Store(false)
	b.waited += time.Since(began)
	if errors.Is(err, os.ErrDeadlineExceeded) && !b.left.Load() {
		return n, errSlowBody
	}
	return n, err
}

// read is called with b.mu held.
func (b *pacedBody) read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.came += int64(n)
	if _, network := errors.AsType[net.Error](err); err != nil && err != io.EOF && !network && !b.left.Load() {
		b.flow.malformed.Store(true)
	}
	if err == io.EOF {
		b.ended = true
		// net/http reads on, to see whether the client goes away.
		_ = b.flow.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// leave is called when the request is over. Whoever still reads the body is woken:
// net/http waits for that, and must not be in its way. What is left is read, or
// the connection is over with this answer. answered is false where there is none
// to wait for.
//
// A body that has ended is left alone: net/http reads on behind it, and a
// deadline that meets that read ends the context of all later requests of the
// connection. So where one may have met it, the connection is over too.
func (b *pacedBody) leave(answered bool) {
	conn := b.flow.conn
	b.left.Store(true)
	woken := false
	if !b.mu.TryLock() {
		woken = true
		_ = conn.SetReadDeadline(time.Unix(1, 0))
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	switch {
	case b.ended && woken:
		conn.over.Store(true)
		return
	case b.ended:
		return
	}
	if answered && !conn.slow.Load() {
		_ = http.NewResponseController(b.flow.ResponseWriter).Flush()
		_ = conn.SetReadDeadline(time.Now().Add(leftoverTime))
		_, _ = io.CopyN(io.Discard, readerFunc(b.read), leftoverBytes)
	}
	if b.ended {
		_ = conn.SetReadDeadline(time.Time{})
		return
	}
	conn.over.Store(true)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// end tells the client that the answer is whole, and takes what it still sends,
// for a moment, on a connection that is over. net/http reads, or closes, once it
// has written the answer.
func (c *conn) end() {
	if c.ended.Swap(true) {
		return
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	buf := c.listener.edge.buffers.Get()
	defer c.listener.edge.buffers.Put(buf)
	until := time.Now().Add(lingerMost)
	for came := 0; came < lingerBytes && time.Now().Before(until); {
		_ = c.Conn.SetReadDeadline(time.Now().Add(linger))
		n, err := c.Conn.Read(buf)
		if err != nil {
			return
		}
		came += n
	}
}
