package testbed

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Link is a TCP path to a server that can be made bad: cut, stalled, slowed or
// reset. Make it with NewLink.
type Link struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	changed chan struct{} // closed at each change of what follows
	stalled bool
	refused bool
	delay   time.Duration
	conns   map[net.Conn]struct{}
	closed  bool
	active  sync.WaitGroup
}

// NewLink listens on a free port of 127.0.0.1 and leads to target.
func NewLink(target string) (*Link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &Link{listener: l, target: target, changed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	k.active.Go(k.accept)
	return k, nil
}

// Addr is where clients connect.
func (k *Link) Addr() string { return k.listener.Addr().String() }

// Stall keeps connections open and lets nothing through, until it is undone.
func (k *Link) Stall(on bool) { k.set(func() { k.stalled = on }) }

// Delay has each piece of data wait, in each direction.
func (k *Link) Delay(d time.Duration) { k.set(func() { k.delay = d }) }

// Refuse closes new connections at once, until it is undone.
func (k *Link) Refuse(on bool) { k.set(func() { k.refused = on }) }

// Cut ends all connections, in order or, with reset, with a TCP reset.
func (k *Link) Cut(reset bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.conns {
		if tcp, ok := c.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close() // ends both directions
	}
}

// Close ends everything and returns when nothing is left.
func (k *Link) Close() error {
	k.set(func() { k.closed, k.stalled = true, false })
	err := k.listener.Close()
	k.Cut(false)
	k.active.Wait()
	return err
}

func (k *Link) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *Link) accept() {
	for {
		c, err := k.listener.Accept()
		if err != nil {
			return
		}
		k.active.Go(func() { k.carry(c) })
	}
}

func (k *Link) carry(client net.Conn) {
	defer k.forget(client)
	if !k.keep(client) {
		return
	}
	server, err := net.Dial("tcp", k.target)
	if err != nil {
		return
	}
	defer k.forget(server)
	if !k.keep(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { k.pump(server, client) })
	both.Go(func() { k.pump(client, server) })
	both.Wait()
}

func (k *Link) keep(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.refused {
		return false
	}
	k.conns[c] = struct{}{}
	return true
}

func (k *Link) forget(c net.Conn) {
	k.mu.Lock()
	delete(k.conns, c)
	k.mu.Unlock()
	_ = c.Close()
}

// pump copies until one side ends, and ends the other.
func (k *Link) pump(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			k.hold()
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if errors.Is(err, io.EOF) || err != nil {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
}

// hold waits while the link is stalled, then for its delay.
func (k *Link) hold() {
	for {
		k.mu.Lock()
		stalled, delay, changed := k.stalled && !k.closed, k.delay, k.changed
		k.mu.Unlock()
		if stalled {
			<-changed
			continue
		}
		if delay > 0 {
			<-time.After(delay)
		}
		return
	}
}
