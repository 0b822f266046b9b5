package edge

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/unite-hub/berth"
)

// net/http dials in a goroutine of its own, which may begin when a connection that
// became free has served the request, and the next one is under way. The race
// detector is what fails here.
func TestWhatIsDialledForARequestThatIsOverDoesNotLookAtTheNext(t *testing.T) {
	t.Parallel()
	l := newListener(New(Options{}), berth.Route{}, nil, nil)
	c := &conn{listener: l, flow: &flow{}}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), connKey{}, c))
	cancel()
	began, dialled := make(chan struct{}), make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() {
		defer close(dialled)
		<-began
		for range 100 {
			if _, err := l.dial(ctx, new(net.Dialer), "tcp", "127.0.0.1:9"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
	both.Go(func() {
		close(began)
		for next := new(flow); ; {
			select {
			case <-dialled:
				return
			default:
				c.flow = next
			}
		}
	})
	both.Wait()
}
