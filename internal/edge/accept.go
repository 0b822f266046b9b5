package edge

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/unite-hub/berth/internal/netguard"
)

// backlog is how long a closing listener goes on accepting: closing a listener
// resets what the kernel has accepted and we have not. It goes on for longer,
// up to backlogMost, while the kernel says that something waits.
const (
	backlog     = 20 * time.Millisecond
	backlogMost = 2 * time.Second
)

// accepting is how a listener accepts connections: by a loop that runs while
// somebody connects, or not at all until the poller wakes it.
type accepting struct {
	ended chan struct{} // closed once nothing is accepted any more

	mu     sync.Mutex
	parked bool      // there is no loop
	closed bool      // there will be none
	until  time.Time // something is accepted, while the backlog is emptied; zero before
}

// serve has connections accepted as they come.
func (l *listener) serve() {
	if !l.park() {
		go l.accept()
	}
}

// park leaves it to the poller to begin an accept loop. It says no where one must
// run.
func (l *listener) park() bool {
	a := &l.accepting
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parked = !a.closed && a.until.IsZero() && l.poller.watch(l)
	return a.parked
}

// wake begins an accept loop if there is none.
func (l *listener) wake() {
	a := &l.accepting
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.parked {
		a.parked = false
		go l.accept()
	}
}

var errNobodyCame = errors.New("nobody connected for a while")

// accept is the accept loop. It ends where nobody connects for a while, or for
// good: when the listener is closed, or by a backlog's deadline.
func (l *listener) accept() {
	guard := &netguard.Listener{
		Listener: l.raw,
		Pool:     l.edge.opts.Pool,
		Inside:   l.edge.Inside,
		Allow:    l.allows,
		Log:      l.edge.opts.Log,
	}
	for {
		err := l.server.Serve(&counted{Listener: guard, listener: l})
		if !errors.Is(err, errNobodyCame) {
			close(l.accepting.ended)
			return
		}
		if l.park() {
			return
		}
	}
}

// close stops listening. The port is free when it returns.
func (l *listener) close() {
	l.closing.Store(true)
	a := &l.accepting
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	_ = l.raw.Close()
	l.poller.forget(l)
	if a.parked {
		a.parked = false
		close(a.ended)
	}
}

// beginClosing makes every answer from here on the last of its connection.
func (l *listener) beginClosing() { l.closing.Store(true) }

// closeAfterBacklog stops listening once what waits to be accepted is accepted.
// A client whose connection is half made when new ones are turned away may be
// reset. beginClosing comes before.
func (l *listener) closeAfterBacklog() {
	l.control(turnAway)
	a := &l.accepting
	a.mu.Lock()
	a.until = time.Now().Add(backlogMost)
	_ = l.raw.SetDeadline(time.Now().Add(backlog))
	a.mu.Unlock()
	l.wake()
	<-a.ended
	l.close()
}

// expect sets until when an accept loop waits for somebody: without end where there
// is no poller to wake another. A listener whose backlog is emptied has its deadline
// already.
func (l *listener) expect() {
	a := &l.accepting
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until.IsZero() && l.poller != nil {
		_ = l.raw.SetDeadline(time.Now().Add(l.edge.opts.ParkAfter))
	}
}

// expired says why nothing is accepted once a deadline has passed; nil where
// something may be.
func (l *listener) expired() error {
	a := &l.accepting
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.until.IsZero():
		return errNobodyCame
	case l.waiting() > 0 && time.Now().Before(a.until):
		_ = l.raw.SetDeadline(time.Now().Add(backlog))
		return nil
	}
	_ = l.raw.Close()    // at once: what comes from here on is reset
	return net.ErrClosed // a time-out would be tried again
}

// waiting is how many connections the kernel has accepted and we have not; 0
// if it does not tell.
func (l *listener) waiting() (n int) {
	l.control(func(fd int) { n = acceptQueue(fd) })
	return n
}

// control calls f with the listener's descriptor; not at all once it is closed.
func (l *listener) control(f func(fd int)) {
	if raw, err := l.raw.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// passing is what the kernel says instead of accepting, such as that it has no
// memory for that. net/http tries again after a while, which grows up to 1 s, where
// an error says that it passes, and else ends the accept loop.
type passing struct{ error }

func (p passing) Unwrap() error { return p.error }

func (passing) Timeout() bool   { return false }
func (passing) Temporary() bool { return true }

// counted is the net.Listener that the server sees: it counts connections.
type counted struct {
	net.Listener
	listener *listener
}

// Close is called at the end of each accept loop, after which there may be another.
func (c *counted) Close() error { return nil }

func (c *counted) Accept() (net.Conn, error) {
	l := c.listener
	for {
		l.expect()
		raw, err := c.Listener.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if err := l.expired(); err != nil {
				return nil, err
			}
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			l.edge.opts.Log.Warn("the kernel does not accept connections; tried again", "tenant", l.org, "port", l.port, "error", err)
			return nil, passing{err}
		}
		if admitted, ok := l.admit(raw); ok {
			return admitted, nil
		}
		l.edge.opts.Log.Debug("connection over the tenant's limit closed", "tenant", l.org, "port", l.port)
		_ = raw.Close()
	}
}
