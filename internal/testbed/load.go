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
	sum  Tally
}

// Tally is what became of a load.
type Tally struct {
	Requests int
	Failed   int
	Late     int             // requests for which no connection was free in time
	Behind   int             // requests that the load itself sent more than 5 ms after they were due
	Causes   []string        // of the first failures
	Took     []time.Duration // of each request, from when it was due
}

// Add adds what another tally counted.
func (t *Tally) Add(o Tally) {
	t.Requests, t.Failed = t.Requests+o.Requests, t.Failed+o.Failed
	t.Late, t.Behind = t.Late+o.Late, t.Behind+o.Behind
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

// Start begins the load.
func (l *Load) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.stop, l.done = cancel, make(chan struct{})
	if l.Clients == 0 {
		l.Clients = 256
	}
	client := &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: l.Clients, MaxConnsPerHost: l.Clients},
		Timeout:   time.Minute,
	}
	due := make(chan time.Time, 16*l.Rate)
	var clients sync.WaitGroup
	for range l.Clients {
		clients.Go(func() {
			for at := range due {
				behind := time.Since(at) > 5*time.Millisecond
				l.count(at, behind, l.ask(client))
			}
		})
	}
	go func() {
		defer close(l.done)
		defer client.CloseIdleConnections()
		defer clients.Wait()
		defer close(due)
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
			select {
			case due <- at:
			default:
				l.late()
			}
		}
	}()
}

// Stop ends the load, once every request was answered, and returns the sum.
func (l *Load) Stop() Tally {
	l.stop()
	<-l.done
	return l.Cut()
}

// Cut returns what was counted since the last cut.
func (l *Load) Cut() Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.sum
	l.sum = Tally{}
	return t
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

func (l *Load) count(due time.Time, behind bool, err error) {
	took := time.Since(due)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum.Requests++
	if behind {
		l.sum.Behind++
	}
	l.sum.Took = append(l.sum.Took, took)
	if err != nil {
		l.sum.Failed++
		if len(l.sum.Causes) < 10 {
			l.sum.Causes = append(l.sum.Causes, err.Error())
		}
	}
}

func (l *Load) late() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum.Late++
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
