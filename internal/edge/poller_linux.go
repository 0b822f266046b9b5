package edge

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// poller tells which of many listeners somebody connects to, so that those that
// nobody connects to have no goroutine. One goroutine waits for all of them: the
// kernel's list of who is ready (epoll) is itself waited for by Go's runtime.
type poller struct {
	epoll *os.File
	ended chan struct{} // closed when the goroutine has

	mu     sync.Mutex
	byPort map[int32]*listener // a port tells them apart: a descriptor's number is given again too soon
}

// newPoller returns nil where the kernel makes no more of them: each listener
// then waits by itself. Whoever calls must call close.
func newPoller() *poller {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or os would not have the runtime wait for it
		_ = unix.Close(fd)
		return nil
	}
	p := &poller{epoll: os.NewFile(uintptr(fd), "epoll"), ended: make(chan struct{}), byPort: make(map[int32]*listener)}
	if err := p.epoll.SetReadDeadline(time.Time{}); err != nil { // it does not wait for it
		_ = p.epoll.Close()
		return nil
	}
	go p.run()
	return p
}

// close ends the poller; whatever is watched wakes no more.
func (p *poller) close() {
	if p != nil {
		_ = p.epoll.Close()
		<-p.ended
	}
}

func (p *poller) run() {
	defer close(p.ended)
	raw, err := p.epoll.SyscallConn()
	if err != nil {
		return
	}
	var events [64]unix.EpollEvent
	for {
		n := 0
		// The runtime waits for changes only: it is asked to where nothing is left.
		err := raw.Read(func(fd uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(fd), events[:], 0)
			return n > 0 || err == unix.EINTR
		})
		if err != nil { // closed
			return
		}
		for _, event := range events[:max(n, 0)] {
			p.mu.Lock()
			l := p.byPort[event.Fd] // nil once it is closed; or the next tenant's of the port, which finds nobody
			p.mu.Unlock()
			if l != nil {
				l.wake()
			}
		}
	}
}

// watch has the listener's wake called once, when somebody connects or has done
// already. It says no where that can't be.
func (p *poller) watch(l *listener) (ok bool) {
	if p == nil {
		return false
	}
	port := int32(l.port)
	p.mu.Lock()
	p.byPort[port] = l
	p.mu.Unlock()
	raw, err := p.epoll.SyscallConn()
	if err != nil {
		return false
	}
	l.control(func(fd int) {
		_ = raw.Control(func(epoll uintptr) {
			event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: port}
			err := unix.EpollCtl(int(epoll), unix.EPOLL_CTL_MOD, fd, &event)
			if err == unix.ENOENT { // the first time
				err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, &event)
			}
			ok = err == nil
		})
	})
	return ok
}

// forget is called once a listener is closed, which took it off the kernel's
// list, and before its port is opened again.
func (p *poller) forget(l *listener) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byPort, int32(l.port))
}
