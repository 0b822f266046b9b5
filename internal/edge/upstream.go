package edge

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Why an answer is cut off, or a request is not taken.
var (
	errHeadSize    = errors.New("the head of the answer is too big")
	errHeadTime    = errors.New("the head of the answer takes too long")
	errStatus      = errors.New("the status of the answer is none")
	errInforming   = errors.New("too many answers that only inform")
	errMemory      = errors.New("too much memory is held")
	errAnswer      = errors.New("answers under way hold too much memory")
	errDescriptors = errors.New("too many connections are open")
	errUpgraded    = errors.New("too many connections speak another protocol")
	errClient      = errors.New("too many connections of one client speak another protocol")
	errMalformed   = errors.New("the body of the request is malformed")
	errSlowBody    = errors.New("the body of the request comes too slowly")
)

// newTransport returns what connects to the tenant's upstreams.
func (l *listener) newTransport() *http.Transport {
	opts := &l.edge.opts
	dialer := &net.Dialer{Timeout: opts.DialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return l.dial(ctx, dialer, network, addr)
		},
		DisableCompression:     true, // bodies pass as they are
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        upstreamIdle,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 2*int64(opts.MaxAnswerHeaderBytes) + headSlack, // upstream says no before
	}
}

func (l *listener) dial(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
	// net/http dials in a goroutine of its own, which may outlive the request: it may
	// look at the client's connection, never at its flow, which may be the next
	// request's by then.
	var s *source
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		s = c.source
	}
	for n := 0; !l.descriptors.take(1); n++ {
		if n == victimsMost || !l.makeRoom(s, s.size()-1) {
			return nil, errDescriptors
		}
	}
	if !l.memory.take(upstreamMemory) {
		l.descriptors.give(1)
		return nil, errMemory
	}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		l.descriptors.give(1)
		l.memory.give(upstreamMemory)
		return nil, &dialError{err}
	}
	return &upstream{Conn: c, listener: l}, nil
}

// dialError marks a failed dial: it is the one failure of which nothing reached
// the tenant.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// headSlack is what may be read of a body together with the end of a head:
// net/http's buffer.
const headSlack = 4 << 10

// upstream is a connection to an instance. What an instance sends as the head
// of an answer is bounded and charged while it comes.
type upstream struct {
	net.Conn
	listener *listener
	once     sync.Once

	head    atomic.Bool // of an answer is awaited
	timed   atomic.Bool // there is a deadline for it
	account atomic.Pointer[budget]
	held    atomic.Int64 // of memory, for the head
	cause   atomic.Pointer[error]

	requests atomic.Int64 // that went out on it
	// The goroutine that reads owns these.
	seen  int64 // requests, when the head began
	size  int64 // of the head so far
	began bool  // the head's first byte came
}

// gotUpstream is told by net/http which connection a request goes out on.
func (c *conn) gotUpstream(info httptrace.GotConnInfo) {
	u, ok := info.Conn.(*upstream)
	if !ok || c.flow == nil {
		return
	}
	if old := c.flow.upstream; old != nil && old != u { // net/http tries again by itself where nothing was sent
		held, _ := old.headDone()
		c.flow.memory += held
	}
	c.flow.upstream = u
	u.requests.Add(1)
	u.account.Store(c.flow.account)
	u.cause.Store(nil)
	u.head.Store(true)
}

// headDone says that RoundTrip has returned. It returns the memory that the head
// holds, which is the request's from here on, and why the connection was cut off.
func (u *upstream) headDone() (held int64, cause error) {
	u.head.Store(false)
	if u.timed.Swap(false) {
		_ = u.Conn.SetReadDeadline(time.Time{})
	}
	if err := u.cause.Load(); err != nil {
		cause = *err
	}
	return u.held.Swap(0), cause
}

func (u *upstream) fail(err error) {
	u.cause.CompareAndSwap(nil, &err)
	_ = u.Conn.Close()
}

// paused says that a head that only informs has ended. The goroutine that reads
// calls it.
func (u *upstream) paused() {
	u.began = false
	if u.timed.Swap(false) {
		_ = u.Conn.SetReadDeadline(time.Time{})
	}
}

func (u *upstream) Read(p []byte) (int, error) {
	n, err := u.Conn.Read(p)
	if !u.head.Load() {
		return n, err
	}
	if now := u.requests.Load(); now != u.seen {
		u.seen, u.began, u.size = now, false, 0
	}
	if n > 0 {
		if over := u.came(p[:n]); over != nil {
			u.fail(over)
			return 0, over
		}
	}
	if u.began && errors.Is(err, os.ErrDeadlineExceeded) {
		u.fail(errHeadTime)
	}
	return n, err
}

// came counts a part of a head.
func (u *upstream) came(b []byte) error {
	opts := &u.listener.edge.opts
	if !u.began && !bytes.Contains(b, []byte("\r\n\r\n")) { // most heads come at once
		u.began = true
		u.timed.Store(true)
		_ = u.Conn.SetReadDeadline(time.Now().Add(opts.AnswerHeaderTimeout))
		if !u.head.Load() { // RoundTrip has returned meanwhile
			_ = u.Conn.SetReadDeadline(time.Time{})
		}
	}
	if u.size += int64(len(b)); u.size > int64(opts.MaxAnswerHeaderBytes)+headSlack {
		return errHeadSize
	}
	need := headMemory(b)
	if !u.account.Load().take(need) {
		return errAnswer
	}
	u.held.Add(need)
	if !u.head.Load() { // RoundTrip has returned meanwhile
		u.account.Load().give(u.held.Swap(0))
	}
	return nil
}

func (u *upstream) Close() error {
	err := u.Conn.Close()
	u.once.Do(func() {
		u.listener.descriptors.give(1)
		u.listener.memory.give(upstreamMemory)
	})
	return err
}

// CloseWrite lets an upgraded connection be closed one way.
func (u *upstream) CloseWrite() error {
	if half, ok := u.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
