// Package client is the Go client of Berth's REST API. The command line is
// built on it. Every method is one request. Only a mutation with an idempotency
// key is sent once more if the connection was lost before the answer.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxAnswer bounds what is read of an answer that is not a stream.
const maxAnswer = 64 << 20

// Client talks to one Berth. Its methods may be called concurrently.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	sight func([]byte)
}

// Option changes how a Client works.
type Option func(*Client)

// WithHTTPClient sets what requests go through. Its Timeout should be zero:
// mutations wait and logs stream; the context of each call bounds it.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithAnswers lets see have each JSON answer as the server wrote it, fields
// that this package does not know included. Concurrent methods call
// see concurrently.
func WithAnswers(see func(body []byte)) Option { return func(c *Client) { c.sight = see } }

// New returns a Client of the Berth at baseURL, such as http://127.0.0.1:3008.
// The token may be empty: then only Health can be asked for.
func New(baseURL, token string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a Berth: give one such as http://127.0.0.1:3008", baseURL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the URL of a Berth holds scheme, host and port only; give the token on its own")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	c := &Client{base: u, token: token, http: &http.Client{
		// A redirect would carry the token somewhere that was not asked for.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, o := range options {
		o(c)
	}
	return c, nil
}

// URL is the address that requests go to.
func (c *Client) URL() string { return c.base.String() }

// Call says how a mutation is asked for. The zero Call waits as long as the
// server does by default, 60 seconds.
type Call struct {
	// Wait is how long the server waits for the outcome, in whole seconds up
	// to ten minutes; negative: not at all. An outcome that takes longer
	// leaves the answer's Done false.
	Wait time.Duration
	// IdempotencyKey makes the call safe to repeat: the same key repeats the
	// first answer.
	IdempotencyKey string
}

func (o Call) query(q url.Values) url.Values {
	if q == nil {
		q = url.Values{}
	}
	switch {
	case o.Wait < 0:
		q.Set("wait", "0")
	case o.Wait > 0:
		q.Set("wait", strconv.FormatInt(int64((o.Wait+time.Second-1)/time.Second), 10))
	}
	return q
}

// request is one request to be.
type request struct {
	method string
	path   string // from the root, escaped
	query  url.Values
	in     any // JSON body; nil for none
	accept string
	key    string // idempotency
}

// send does r and returns an answer whose status is below 300. The caller
// closes its body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	if r.in != nil {
		data, err := json.Marshal(r.in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	target := c.base.String() + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if r.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.accept == "" {
		r.accept = "application/json"
	}
	req.Header.Set("Accept", r.accept+", application/problem+json")
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	resp, err := c.http.Do(req)
	if r.key != "" && lost(err) {
		again := req.Clone(ctx)
		if req.GetBody != nil {
			if again.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		resp, err = c.http.Do(again)
	}
	if err != nil {
		return nil, fmt.Errorf("ask Berth: %w", err)
	}
	if resp.StatusCode >= 300 {
		defer func() { _ = resp.Body.Close() }()
		return nil, readError(resp)
	}
	return resp, nil
}

// lost reports whether a connection ended before the answer, so that nobody
// knows whether the request was taken.
func lost(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// do does r, reads the answer into out (nil: nothing is expected) and returns
// its status.
func (c *Client) do(ctx context.Context, r request, out any) (status int, err error) {
	resp, err := c.send(ctx, r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if out == nil {
		return resp.StatusCode, nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return resp.StatusCode, fmt.Errorf("read answer: %w", err)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return resp.StatusCode, fmt.Errorf("the answer is not Berth's: %w", err)
	}
	if c.sight != nil {
		c.sight(data)
	}
	return resp.StatusCode, nil
}

func (c *Client) get(ctx context.Context, path string, q url.Values, out any) error {
	_, err := c.do(ctx, request{method: http.MethodGet, path: path, query: q}, out)
	return err
}

// tenantPath is the path of a tenant, named by organization id or slug, or of
// something below it.
func tenantPath(org string, below ...string) string {
	path := "/api/tenants/" + url.PathEscape(org)
	for _, b := range below {
		path += "/" + url.PathEscape(b)
	}
	return path
}

// page makes the query of a list.
func page(cursor string, limit int) url.Values {
	q := url.Values{}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}
