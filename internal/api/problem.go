package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
)

// problem is an error as clients see it: RFC 9457's members, the seed's two,
// and a stable code with a way out.
type problem struct {
	Type         string `json:"type"`
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Detail       string `json:"detail"`
	Success      bool   `json:"success" doc:"always false"`
	ErrorText    string `json:"error" doc:"what went wrong, for a person"`
	Code         string `json:"code" doc:"what went wrong, for a program; stable"`
	Hint         string `json:"hint" doc:"what to do next"`
	Field        string `json:"field,omitempty" doc:"the field at fault"`
	DeploymentID string `json:"deploymentId,omitempty"`

	retryAfter string // seconds

	Findings []findingWire `json:"findings,omitempty" doc:"all that is wrong with a blueprint, for invalid_blueprint"`
}

// findingWire is one thing that is wrong with a blueprint.
type findingWire struct {
	Path string `json:"path" doc:"such as services.web.privileged"`
	Line int    `json:"line" doc:"from 1; 0 if not known"`
	Kind string `json:"kind" enum:"invalid,forbidden,not supported yet"`
	Rule string `json:"rule" doc:"what is wrong and why"`
	Hint string `json:"hint" doc:"the way out"`
}

var (
	_ huma.StatusError       = (*problem)(nil)
	_ huma.ContentTypeFilter = (*problem)(nil)
	_ huma.HeadersError      = (*problem)(nil)
)

// statuses is the one place where kinds of errors meet HTTP.
var statuses = map[berth.Kind]int{
	berth.KindInternal:        http.StatusInternalServerError,
	berth.KindMalformed:       http.StatusBadRequest,
	berth.KindUnauthenticated: http.StatusUnauthorized,
	berth.KindForbidden:       http.StatusForbidden,
	berth.KindNotFound:        http.StatusNotFound,
	berth.KindConflict:        http.StatusConflict,
	berth.KindTooLarge:        http.StatusRequestEntityTooLarge,
	berth.KindInvalid:         http.StatusUnprocessableEntity,
	berth.KindRateLimited:     http.StatusTooManyRequests,
	berth.KindUnavailable:     http.StatusServiceUnavailable,
}

func problemOf(status int, code, message string) *problem {
	return &problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: message, ErrorText: message, Code: code,
	}
}

func (p *problem) hinted(format string, args ...any) *problem {
	p.Hint = fmt.Sprintf(format, args...)
	return p
}

// problemFrom shows the message and the way out of a *berth.Error. Of any
// other error, and of one that is internal, the client learns nothing.
func problemFrom(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var e *berth.Error
	if !errors.As(err, &e) || e.Code.Kind() == berth.KindInternal && e.Hint == "" {
		return problemOf(http.StatusInternalServerError, string(berth.CodeInternal), "Internal error").
			hinted("look for this request's X-Request-Id in Berth's log")
	}
	message := e.Message
	if e.Code.Kind() == berth.KindInternal {
		message = "Internal error"
	}
	p = problemOf(statuses[e.Code.Kind()], string(e.Code), message).hinted("%s", e.Hint)
	p.Field, p.DeploymentID = e.Field, e.Deployment
	for _, f := range e.Findings {
		p.Findings = append(p.Findings, findingWire(f))
	}
	if p.Hint == "" {
		p.Hint = "see the message"
	}
	return p
}

// fromHuma makes a problem of what huma found wrong with parameters.
func fromHuma(status int, message string, errs ...error) huma.StatusError {
	code := berth.CodeInvalidRequest
	switch status {
	case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusNotAcceptable:
		code = berth.CodeMalformed
	case http.StatusRequestEntityTooLarge:
		return tooLarge(maxBody)
	case http.StatusInternalServerError:
		if message == "cannot read request body" { // huma's words; it is the client's fault
			return problemOf(http.StatusBadRequest, string(berth.CodeMalformed), "Request body can't be read").hinted("send it again")
		}
		code = berth.CodeInternal
	}
	p := problemOf(status, string(code), message).hinted("GET /openapi.json describes what this route takes")
	for _, err := range errs {
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			_, name, _ := strings.Cut(d.Location, ".")
			p.Field, p.ErrorText = name, name+": "+d.Message
			p.Detail = p.ErrorText
			p.Hint = fmt.Sprintf("%s was given; GET /openapi.json describes what this route takes", berth.Quote(fmt.Sprint(d.Value)))
			break
		}
	}
	return p
}

func tooLarge(most int64) *problem {
	return problemOf(http.StatusRequestEntityTooLarge, string(berth.CodeTooLarge), "Request body is too large").
		hinted("send at most %d bytes", most)
}

func (p *problem) Error() string             { return p.ErrorText }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders tells clients when and how to come back.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="berth"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", cmp.Or(p.retryAfter, "5"))
	}
	return h
}

func (p *problem) body() []byte {
	data, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return append(data, '\n')
}

// writeProblem writes an error where huma is not at work.
func writeProblem(w http.ResponseWriter, err error) {
	p := problemFrom(err)
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.body()) // the client may be gone
}

func writeHuma(ctx huma.Context, p *problem) {
	for name, values := range p.GetHeaders() {
		ctx.SetHeader(name, values[0])
	}
	ctx.SetHeader("Content-Type", p.ContentType(""))
	ctx.SetStatus(p.Status)
	_, _ = ctx.BodyWriter().Write(p.body()) // the client may be gone
}
