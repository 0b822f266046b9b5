package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/unite-hub/berth"
)

// Codes of the answers that the edge gives itself. They go to whoever calls a
// tenant, and so say nothing of where it runs.
const (
	CodeTenantStarting      berth.Code = "tenant_starting"
	CodeTenantUnready       berth.Code = "tenant_unready"
	CodeTenantStopped       berth.Code = "tenant_stopped"
	CodeUpstreamUnreachable berth.Code = "upstream_unreachable"
	CodeUpstreamFailed      berth.Code = "upstream_failed"
	CodeUpstreamOverLimit   berth.Code = "upstream_over_limit"
	CodeTenantBusy          berth.Code = "tenant_busy"
	CodeClientBusy          berth.Code = "client_busy"
	CodeRequestTooSlow      berth.Code = "request_too_slow"
	CodeRequestTooLarge     berth.Code = "request_too_large"
)

// problem is an RFC 9457 body with the fields that Berth's API adds.
type problem struct {
	Type    string     `json:"type"`
	Title   string     `json:"title"`
	Status  int        `json:"status"`
	Detail  string     `json:"detail"`
	Success bool       `json:"success"`
	Error   string     `json:"error"` // the same as Detail
	Code    berth.Code `json:"code"`
	Hint    string     `json:"hint"`

	retryAfter int // seconds; 0: no such header
}

func (t *target) starting() problem {
	return problem{Status: http.StatusServiceUnavailable, Code: CodeTenantStarting, retryAfter: 1,
		Detail: fmt.Sprintf("Tenant %s is starting", berth.Quote(t.route.Name)),
		Hint:   "try again in a second"}
}

func (t *target) unready() problem {
	return problem{Status: http.StatusServiceUnavailable, Code: CodeTenantUnready, retryAfter: 5,
		Detail: fmt.Sprintf("Tenant %s is not well", berth.Quote(t.route.Name)),
		Hint:   "try again in five seconds; its operator sees the cause in the tenant's status"}
}

func (t *target) heldTooLong() problem {
	return problem{Status: http.StatusServiceUnavailable, Code: CodeTenantStarting, retryAfter: 2,
		Detail: fmt.Sprintf("Tenant %s is being changed", berth.Quote(t.route.Name)),
		Hint:   "try again in two seconds"}
}

func (t *target) stopped() problem {
	return problem{Status: http.StatusServiceUnavailable, Code: CodeTenantStopped, retryAfter: 30,
		Detail: fmt.Sprintf("Tenant %s is stopped", berth.Quote(t.route.Name)),
		Hint:   "ask its operator to start it"}
}

func (t *target) unreachable() problem {
	return problem{Status: http.StatusBadGateway, Code: CodeUpstreamUnreachable,
		Detail: fmt.Sprintf("Tenant %s takes no connections", berth.Quote(t.route.Name)),
		Hint:   "try again; if it lasts, its operator sees the cause in the tenant's logs"}
}

func (t *target) broken() problem {
	return problem{Status: http.StatusBadGateway, Code: CodeUpstreamFailed,
		Detail: fmt.Sprintf("Tenant %s broke off the request without an answer", berth.Quote(t.route.Name)),
		Hint:   "the request may have taken effect: check before sending it again"}
}

// overLimit is a tenant's answer that takes more than it may.
func (t *target) overLimit(what string) problem {
	return problem{Status: http.StatusBadGateway, Code: CodeUpstreamOverLimit,
		Detail: fmt.Sprintf("Tenant %s was cut off: %s", berth.Quote(t.route.Name), what),
		Hint:   "the request may have taken effect; its operator has to make the answer smaller, or raise the limit"}
}

func tenantBusy() *problem {
	return &problem{Status: http.StatusServiceUnavailable, Code: CodeTenantBusy, retryAfter: 1,
		Detail: "This tenant has too much under way",
		Hint:   "try again in a second"}
}

func clientBusy() *problem {
	return &problem{Status: http.StatusTooManyRequests, Code: CodeClientBusy, retryAfter: 1,
		Detail: "This client has too many requests under way",
		Hint:   "wait until some of them are answered"}
}

func tooSlow() problem {
	return problem{Status: http.StatusRequestTimeout, Code: CodeRequestTooSlow,
		Detail: "The body of the request came too slowly",
		Hint:   "send it again over a faster connection"}
}

func malformed() problem {
	return problem{Status: http.StatusBadRequest, Code: berth.CodeMalformed,
		Detail: "The body of the request can't be read: it is not framed as HTTP says",
		Hint:   "send it again on another connection; this one is closed"}
}

func headTooLarge() problem {
	return problem{Status: http.StatusRequestHeaderFieldsTooLarge, Code: CodeRequestTooLarge,
		Detail: "The headers of the request take more memory than one request may",
		Hint:   "send fewer or shorter headers"}
}

func noRoute(port int) problem {
	return problem{Status: http.StatusNotFound, Code: berth.CodeNotFound,
		Detail: fmt.Sprintf("No tenant is behind port %d any more", port),
		Hint:   "ask the operator for the tenant's address"}
}

func noTunnel() problem {
	return problem{Status: http.StatusMethodNotAllowed, Code: berth.CodeInvalidRequest,
		Detail: "CONNECT leads nowhere: this is not a proxy for other hosts",
		Hint:   "send the request itself"}
}

// answerError answers a request that no upstream answered. The proxy calls it
// only while nothing of an answer was written.
func (t *target) answerError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		if !flowOf(r.Context()).conn.slow.Load() {
			panic(http.ErrAbortHandler) // the client has gone; net/http closes without a log line
		}
		err = errSlowBody
	}
	if flowOf(r.Context()).malformed.Load() {
		err = errMalformed
	}
	p := t.problemOf(err)
	t.listener.edge.opts.Log.Debug("request not forwarded", "tenant", t.route.OrganizationID, "code", p.Code, "error", err)
	t.listener.answer(w, r, p)
}

func (t *target) problemOf(err error) problem {
	opts := &t.listener.edge.opts
	_, dialling := errors.AsType[*dialError](err)
	switch {
	case err == errHeld:
		return t.heldTooLong()
	case dialling && t.route.State == berth.RouteStarting:
		return t.starting()
	case dialling:
		return t.unreachable()
	case errors.Is(err, errHeadSize):
		return t.overLimit(fmt.Sprintf("the headers of its answer are longer than %d bytes", opts.MaxAnswerHeaderBytes))
	case errors.Is(err, errHeadTime):
		return t.overLimit(fmt.Sprintf("the headers of its answer took longer than %s", opts.AnswerHeaderTimeout))
	case errors.Is(err, errInforming):
		return t.overLimit(fmt.Sprintf("it sent more than %d answers that only inform", opts.MaxInforming))
	case errors.Is(err, errAnswer):
		return t.overLimit("the answers it has under way hold more memory than they may")
	case errors.Is(err, errUpgraded):
		return t.overLimit(fmt.Sprintf("more than %d of its connections speak another protocol", opts.MaxUpgraded))
	case errors.Is(err, errClient):
		return *clientBusy()
	case errors.Is(err, errMemory), errors.Is(err, errDescriptors):
		return *tenantBusy()
	case errors.Is(err, errSlowBody):
		return tooSlow()
	case errors.Is(err, errMalformed):
		return malformed()
	}
	return t.broken()
}

// answer is the edge's own answer to a request.
func (l *listener) answer(w http.ResponseWriter, r *http.Request, p problem) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	if l.closing.Load() {
		h.Set("Connection", "close")
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", fmt.Sprint(p.retryAfter))
	}
	contentType, body := "application/problem+json", p.json()
	if !takesJSON(r.Header.Values("Accept")) {
		contentType, body = "text/plain; charset=utf-8", fmt.Appendf(nil, "%s (%s): %s", p.Detail, p.Code, p.Hint)
	}
	h.Set("Content-Type", contentType)
	if f := flowOf(r.Context()); f != nil {
		f.answered(p.Status)
	}
	body = append(body, '\n')
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the client's connection; nobody else to tell
}

func (p problem) json() []byte {
	p.Type = "about:blank"
	p.Title = http.StatusText(p.Status)
	p.Error = p.Detail
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers only: cannot happen
	}
	return body
}

// takesJSON reports whether a client with these Accept headers takes a
// problem. As in RFC 9110, 12.5.1, the closest range decides, and whoever names
// none takes everything.
func takesJSON(accept []string) bool {
	closeness, takes := 0, true
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue // the client's mistake, as if it were not there
		}
		near := slices.Index([]string{"*/*", "application/*", "application/json", "application/problem+json"}, name) + 1
		if near == 0 && closeness == 0 {
			takes = false // it names something else
			continue
		}
		if near > closeness {
			q, err := strconv.ParseFloat(params["q"], 64)
			closeness, takes = near, err != nil || q > 0
		}
	}
	return takes
}
