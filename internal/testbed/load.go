package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Load asks a URL at a steady rate, whatever the answers take.
type Load struct {
	URL     string
	Rate    int // requests a second
	Clients int // connections at most; 0 means 256

	stop context.CancelFunc
	done chan struct{}
	mu   sync.Mutex
	into *Tally
}

// Tally is what became of a load.
type Tally struct {
	Requests int
	Failed   int
	Waited   int             // requests that no connection was free for when they were due
	Behind   int             // requests that the load itself sent more than 5 ms after they were due
	Causes   []string        // of the first failures
	Took     []time.Duration // of each request, from when it was due
}

// request is one that is due.
type request struct {
	at     time.Time
	behind bool
	into   *Tally
}

// Add adds what another tally counted.
func (t *Tally) Add(o Tally) {
	t.Requests, t.Failed = t.Requests+o.Requests, t.Failed+o.Failed
	t.Waited, t.Behind = t.Waited+o.Waited, t.Behind+o.Behind
	t.Causes, t.Took = append(t.Causes, o.Causes...), append(t.Took, o.Took...)
}

// P returns the share-th part of the request times, 0.99 for p99.
func (t Tally) P(share float64) time.Duration {
	if len(t.Took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t.Took))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// Start begins the load. What becomes of it is counted into t.
func (l *Load) Start(t *Tally) {
	ctx, cancel := context.WithCancel(context.Background())
	l.stop, l.done, l.into = cancel, make(chan struct{}), t
	if l.Clients == 0 {
		l.Clients = 256
	}
	client := &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: l.Clients, MaxConnsPerHost: l.Clients},
		Timeout:   time.Minute,
	}
	free := make(chan request)           // a client that waits for work takes it at once
	queue := make(chan request, 1<<20/2) // for when none does
	var clients sync.WaitGroup
	for range l.Clients {
		clients.Go(func() {
			for {
				var r request
				select {
				case r = <-queue:
				default:
					var ok bool
					select {
					case r = <-queue:
					case r, ok = <-free:
						if !ok {
							return
						}
					}
				}
				l.count(r, l.ask(client))
			}
		})
	}
	go func() {
		defer close(l.done)
		defer client.CloseIdleConnections()
		defer clients.Wait()
		defer close(free)
		l.send(ctx, free, queue)
	}()
}

// send hands out each request when it is due.
func (l *Load) send(ctx context.Context, free, queue chan<- request) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	began := time.Now()
	for sent := 0; ; sent++ {
		at := began.Add(time.Duration(float64(sent) / float64(l.Rate) * float64(time.Second)))
		wait.Reset(time.Until(at))
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		l.mu.Lock()
		r := request{at, time.Since(at) > 5*time.Millisecond, l.into}
		l.mu.Unlock()
		select {
		case free <- r:
		default:
			l.mu.Lock()
			r.into.Waited++
			l.mu.Unlock()
			queue <- r
		}
	}
}

// Into counts what is due from now on into another tally.
func (l *Load) Into(t *Tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.into = t
}

// Stop ends the load, once every request was answered.
func (l *Load) Stop() {
	l.stop()
	<-l.done
}

func (l *Load) ask(c *http.Client) error {
	res, err := c.Get(l.URL)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", res.StatusCode)
	}
	return nil
}

func (l *Load) count(r request, err error) {
	took := time.Since(r.at)
	l.mu.Lock()
	defer l.mu.Unlock()
	t := r.into
	t.Requests++
	t.Took = append(t.Took, took)
	if r.behind {
		t.Behind++
	}
	if err != nil {
		t.Failed++
		if len(t.Causes) < 10 {
			t.Causes = append(t.Causes, err.Error())
		}
	}
}

// Socket is an open WebSocket to a tenant app, which echoes.
type Socket struct {
	conn net.Conn
	r    *bufio.Reader
}

// OpenSocket opens a WebSocket at host:port.
func OpenSocket(addr string) (*Socket, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	s := &Socket{conn: conn, r: bufio.NewReader(conn)}
	_, err = io.WriteString(conn, "GET /api/ws HTTP/1.1\r\nHost: tenant\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	res, err := http.ReadResponse(s.r, nil)
	if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("answered %d", res.StatusCode)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// Echo sends a message and waits for it to come back.
func (s *Socket) Echo(text string) error {
	if err := s.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	// A mask of zeroes leaves the text as it is.
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
	if _, err := s.conn.Write(frame); err != nil {
		return err
	}
	back := make([]byte, 2+len(text))
	if _, err := io.ReadFull(s.r, back); err != nil {
		return err
	}
	if string(back[2:]) != text {
		return fmt.Errorf("echoed %q, not %q", back[2:], text)
	}
	return nil
}

// Close closes it.
func (s *Socket) Close() error { return s.conn.Close() }
