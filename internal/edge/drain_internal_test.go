package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
)

// once is a net.Listener to which one client comes, and then nobody until it ends.
type once struct {
	net.Listener
	conn  chan net.Conn
	ended chan struct{}
}

func (o *once) Accept() (net.Conn, error) {
	select {
	case c := <-o.conn:
		return c, nil
	case <-o.ended:
		return nil, net.ErrClosed
	}
}

// A browser opens connections that it may never use: a drain gives them a moment,
// and not the 5 s that net/http would wait.
func TestADrainDoesNotWaitForConnectionsThatBringNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener(New(Options{}), berth.Route{}, nil, nil)
		clients := &once{conn: make(chan net.Conn), ended: make(chan struct{})}
		go func() {
			_ = l.server.Serve(&counted{Listener: clients, listener: l})
			close(l.accepting.ended)
		}()
		mute, server := net.Pipe()
		clients.conn <- server
		synctest.Wait()
		if len(l.conns) != 1 {
			t.Fatalf("%d connections", len(l.conns))
		}
		l.beginClosing()
		close(clients.ended)
		began := time.Now() // by the bubble's clock, which waits for nothing else
		l.drain(context.Background())
		if took := time.Since(began); took < firstRequest || took > 2*firstRequest {
			t.Errorf("it took %s, want little more than %s", took, firstRequest)
		}
		synctest.Wait()
		if len(l.conns) != 0 {
			t.Errorf("%d connections are left", len(l.conns))
		}
		if n, err := mute.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%d %v, want the end", n, err)
		}
	})
}
