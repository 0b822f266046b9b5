// Package health asks containers whether they are well.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/unite-hub/berth"
)

const (
	// DefaultTimeout is the deadline of a check that names none.
	DefaultTimeout = 5 * time.Second

	maxBody    = 64 << 10 // bytes of a body that are read; what follows is not waited for
	maxHeaders = 64 << 10
)

// errLate marks the probe's own deadline, apart from one that the caller set.
var errLate = errors.New("probe deadline passed")

// Prober makes single HTTP requests. It keeps nothing between them and is safe
// for concurrent use. NewProber makes one.
type Prober struct {
	transport *http.Transport
}

// NewProber returns a prober that goes straight to the address it is given,
// whatever proxy the environment names.
func NewProber() *Prober {
	return &Prober{transport: &http.Transport{
		DialContext:            (&net.Dialer{KeepAlive: -1}).DialContext,
		DisableKeepAlives:      true, // a pooled connection would hide that nobody accepts new ones
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaders,
	}}
}

// Probe asks once. check.Timeout covers everything from the dial to the end of
// the body. OrganizationID is left for the caller.
func (p *Prober) Probe(ctx context.Context, addr netip.AddrPort, check berth.HealthCheck) berth.Probe {
	timeout := check.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	path := check.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	began := time.Now()
	result := berth.Probe{
		CheckedAt: began.UTC().Truncate(time.Microsecond),
		Status:    berth.ProbeUnhealthy,
		Type:      "http",
		Endpoint:  path,
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout, errLate)
	defer cancel()

	res, err := p.ask(limited, "http://"+addr.String()+path)
	result.ResponseTime = time.Since(began)
	if res != nil {
		result.HTTPStatus = res.StatusCode
	}
	switch {
	case err != nil && context.Cause(limited) == errLate:
		result.Status = berth.ProbeTimeout
		result.Cause = late(res != nil, timeout)
	case err != nil && ctx.Err() != nil:
		result.Cause = "cancelled"
	case err != nil:
		result.Cause = cause(err, res != nil)
	case res.StatusCode >= 200 && res.StatusCode <= 299:
		result.Status = berth.ProbeHealthy
	default:
		result.Cause = refusal(res)
	}
	return result
}

// ask returns the response with its body read and closed. A response beside an
// error means that its body broke off.
func (p *Prober) ask(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "berth-health/1")
	// RoundTrip, not Client.Do: a redirect must not lead anywhere.
	res, err := p.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxBody))
	return res, err
}

func late(answered bool, timeout time.Duration) string {
	if answered {
		return fmt.Sprintf("the answer did not end within %s", timeout)
	}
	return fmt.Sprintf("no answer within %s", timeout)
}

func refusal(res *http.Response) string {
	s := fmt.Sprintf("answered %d", res.StatusCode)
	if text := http.StatusText(res.StatusCode); text != "" {
		s += " " + text
	}
	if res.StatusCode >= 300 && res.StatusCode <= 399 {
		s += ", a redirect, which a probe does not follow"
	}
	return s
}

func cause(err error, answered bool) string {
	var op *net.OpError
	dialling := errors.As(err, &op) && op.Op == "dial"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens on the port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the container's address cannot be reached"
	case dialling:
		return "could not connect: " + op.Err.Error()
	case answered:
		return "the connection broke off within the answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection was closed without an answer"
	}
	return "no valid HTTP answer: " + berth.Quote(err.Error())
}
