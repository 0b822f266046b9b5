// Package health asks instances whether they are well, judges what they
// answer, and keeps the record of it.
package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/unite-hub/berth"
)

const (
	// DefaultTimeout is the deadline of a check that names none.
	DefaultTimeout = 5 * time.Second

	maxBody    = 64 << 10 // bytes of a body that are read; what follows is not waited for
	maxHeaders = 64 << 10
	maxFraming = 16 * maxBody // bytes on the wire for that much body in small chunks
	maxInterim = 5            // 1xx answers before the real one
)

// Prober asks single questions. It keeps nothing between them but buffers, and is safe
// for concurrent use. NewProber makes one.
type Prober struct {
	readers sync.Pool // of *bufio.Reader
}

// NewProber returns a prober that goes straight to the address it is given,
// whatever proxy the environment names, whatever Host a check names, and
// wherever an answer points.
func NewProber() *Prober {
	return &Prober{readers: sync.Pool{New: func() any { return bufio.NewReader(nil) }}}
}

// Probe asks once. check.Timeout covers everything from the dial to the end of
// the body. OrganizationID is left for the caller. A check of the engine has
// no address to ask: berth.HealthCheck.Ask judges it.
//
// It speaks HTTP/1.1 itself, on a connection of its own: one that was kept
// would hide that nobody accepts new ones, and net/http's client starts two
// goroutines for each.
func (p *Prober) Probe(ctx context.Context, addr netip.AddrPort, check berth.HealthCheck) berth.Probe {
	timeout := check.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	began := time.Now()
	a := asking{Probe: berth.Probe{
		CheckedAt: began.UTC().Truncate(time.Microsecond),
		Status:    berth.ProbeUnhealthy,
	}}
	dialer := net.Dialer{KeepAlive: -1, Deadline: began.Add(timeout)}
	var err error
	switch check.Kind {
	case "", berth.ProbeHTTP:
		r := p.readers.Get().(*bufio.Reader)
		err = a.http(ctx, &dialer, addr, check, r)
		r.Reset(nil) // it holds on to nothing
		p.readers.Put(r)
	case berth.ProbeTCP:
		err = a.tcp(ctx, &dialer, addr)
	default:
		a.Type, a.Endpoint = string(check.Kind), addr.String()
		err = invalidCheck("no address can be asked for " + berth.Quote(string(check.Kind)))
	}
	a.ResponseTime = time.Since(began)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		a.Cause = "cancelled"
	case isLate(err):
		a.Status, a.Cause = berth.ProbeTimeout, late(a.HTTPStatus != 0, timeout)
	default:
		a.Cause = cause(err, a.HTTPStatus != 0)
	}
	return a.Probe
}

// ask asks one instance in the way that its check names.
func ask(ctx context.Context, asker Asker, c berth.Instance, check berth.HealthCheck) (p berth.Probe, ok bool) {
	return check.Ask(c, time.Now(), func(addr netip.AddrPort) berth.Probe { return asker.Probe(ctx, addr, check) })
}

// asking is one probe under way.
type asking struct {
	berth.Probe
}

func (a *asking) tcp(ctx context.Context, d *net.Dialer, addr netip.AddrPort) error {
	a.Type, a.Endpoint = string(berth.ProbeTCP), addr.String()
	conn, err := d.DialTCP(ctx, "tcp", netip.AddrPort{}, addr)
	if err != nil {
		return err
	}
	a.Status = berth.ProbeHealthy
	_ = conn.Close() // nothing was sent
	return nil
}

// http fills in the outcome as far as it is known, and reads the answer with r. An
// error beside a status means that the body did not end well.
func (a *asking) http(ctx context.Context, d *net.Dialer, addr netip.AddrPort, check berth.HealthCheck, r *bufio.Reader) error {
	a.Type, a.Endpoint = string(berth.ProbeHTTP), pathOf(check)
	method := check.Method
	if method == "" {
		method = http.MethodGet
	}
	request, err := question(method, a.Endpoint, addr, check.Headers)
	if err != nil {
		return err
	}
	conn, err := d.DialTCP(ctx, "tcp", netip.AddrPort{}, addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the answer is read as far as it counts
	if err := conn.SetDeadline(d.Deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// A server may answer and close before it has read the question.
	_, writeErr := conn.Write(request)

	limited := &io.LimitedReader{R: conn, N: maxHeaders}
	r.Reset(limited)
	res, err := answer(r, method)
	a.Alive = limited.N < maxHeaders
	switch {
	case err != nil && limited.N <= 0:
		return errHeaders
	case err != nil && writeErr != nil && !a.Alive:
		return writeErr
	case err != nil:
		return err
	}
	a.HTTPStatus = res.StatusCode
	limited.N += maxFraming
	// Closing the body would read what is left of it.
	if _, err := io.CopyN(io.Discard, res.Body, maxBody); err != nil && err != io.EOF {
		return err
	}
	if check.Accepts(res.StatusCode) {
		a.Status = berth.ProbeHealthy
	} else {
		a.Cause = refusal(res.StatusCode)
	}
	return nil
}

// answer reads the final answer's headers.
func answer(r *bufio.Reader, method string) (*http.Response, error) {
	asked := &http.Request{Method: method}
	for range maxInterim {
		res, err := http.ReadResponse(r, asked)
		if err != nil || res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, err
		}
	}
	return nil, errInterim
}

// question is the request as it is sent. What can't stand in one is refused
// here too: a check may come from a blueprint of an older version.
func question(method, path string, addr netip.AddrPort, headers map[string]string) ([]byte, error) {
	if strings.ContainsFunc(method+path, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, invalidCheck("method or path is not printable ASCII")
	}
	host, agent := addr.String(), "berth-health/1"
	b := make([]byte, 0, 256)
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\n", method, path)
	for name, value := range headers {
		switch {
		case !validHeader(name, value):
			return nil, invalidCheck("header " + berth.Quote(name) + " can't be sent")
		case strings.EqualFold(name, "Host"):
			host = value
			continue
		case strings.EqualFold(name, "User-Agent"):
			agent = value
			continue
		}
		b = fmt.Appendf(b, "%s: %s\r\n", name, value)
	}
	b = fmt.Appendf(b, "Host: %s\r\nUser-Agent: %s\r\nConnection: close\r\n", host, agent)
	if method != http.MethodGet && method != http.MethodHead {
		b = append(b, "Content-Length: 0\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// validHeader refuses what would end the line, and what says how the question
// is framed.
func validHeader(name, value string) bool {
	for _, own := range []string{"Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Expect", "TE", "Trailer"} {
		if strings.EqualFold(name, own) {
			return false
		}
	}
	token := func(r rune) bool {
		return r > ' ' && r <= '~' && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !token(r) }) &&
		!strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
}

func pathOf(check berth.HealthCheck) string {
	if strings.HasPrefix(check.Path, "/") {
		return check.Path
	}
	return "/" + check.Path
}
