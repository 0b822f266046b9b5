package blueprint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/pattern"
)

const (
	mostHeaders = 16  // of a check
	longestText = 256 // of a header's name and of its value, in bytes
)

var (
	headerName  = pattern.Of("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	statusRange = pattern.Of(`^([2-5][0-9][0-9])(?:-([2-5][0-9][0-9]))?$`)
)

// probeMethods are safe to repeat for ever, POST if the app says so.
var probeMethods = []string{"GET", "HEAD", "POST", "OPTIONS"}

// framing headers say where a request ends and what its connection becomes:
// the prober writes them itself.
var framing = []string{"connection", "content-length", "transfer-encoding", "upgrade", "expect", "te", "trailer"}

// health reads how the main service is asked. What is HTTP's default is left
// zero: it is no part of the hash of a service that does not use it.
func (p *parser) health() berth.HealthCheck {
	h := berth.HealthCheck{Path: defaultHealthPath, Interval: defaultInterval, Timeout: defaultTimeout, Retries: defaultRetries, StartPeriod: defaultStartPeriod}
	n := p.mapAt("health")
	if n == nil {
		return h
	}
	const path = "x-berth.health"
	p.known(n, path, "type", "path", "method", "headers", "status", "interval", "timeout", "retries", "start_period")
	h.Kind = p.probeKind(path, n)
	if h.Kind == "" {
		p.request(path, n, &h)
	} else {
		h.Path = ""
	}
	h.Interval = p.duration(path+".interval", n.get("interval"), h.Interval, time.Second, time.Hour)
	h.Timeout = p.duration(path+".timeout", n.get("timeout"), h.Timeout, 100*time.Millisecond, 5*time.Minute)
	if at := n.get("timeout"); at != nil && h.Timeout > h.Interval {
		p.addNew(at, path+".timeout", Invalid, fmt.Sprintf("a timeout of %v is longer than the interval of %v", h.Timeout, h.Interval), "give at most the interval")
	}
	h.StartPeriod = p.duration(path+".start_period", n.get("start_period"), h.StartPeriod, 0, time.Hour)
	if r := n.get("retries"); r != nil {
		h.Retries = p.number(path+".retries", r, 1, 20)
	}
	return h
}

// probeKind is "" for HTTP. What only HTTP has is refused for the others.
func (p *parser) probeKind(path string, n *node) berth.ProbeKind {
	at := n.get("type")
	if at == nil {
		return ""
	}
	kind := berth.ProbeKind(at.text())
	switch kind {
	case berth.ProbeHTTP:
		return ""
	case berth.ProbeTCP, berth.ProbeEngine:
	default:
		p.invalid(at, path+".type", "write http, tcp or engine", "%s is not a way to ask", at.shown())
		return ""
	}
	for _, key := range []string{"path", "method", "headers", "status"} {
		if of := n.get(key); of != nil {
			p.invalid(of, path+"."+key, leaveOut+", or use type http", "a check of type %s has no %s", kind, key)
		}
	}
	return kind
}

// request reads what HTTP is asked with.
func (p *parser) request(path string, n *node, h *berth.HealthCheck) {
	if at := n.get("path"); at != nil {
		h.Path = at.text()
		if !strings.HasPrefix(h.Path, "/") || len(h.Path) > 200 || strings.ContainsFunc(h.Path, func(r rune) bool { return r <= ' ' || r > '~' }) {
			p.invalid(at, path+".path", "give a path such as /api/health", "%s is not a path of at most 200 printable ASCII characters", at.shown())
		}
	}
	if at := n.get("method"); at != nil {
		if h.Method = at.text(); !slices.Contains(probeMethods, h.Method) {
			p.invalid(at, path+".method", "use one of "+strings.Join(probeMethods, ", "), "%s is not a method that a check may use", at.shown())
		}
		if h.Method == probeMethods[0] {
			h.Method = ""
		}
	}
	if at := n.get("status"); at != nil {
		h.StatusMin, h.StatusMax = p.statuses(path+".status", at)
	}
	h.Headers = p.headers(path+".headers", n.get("headers"))
}

// statuses reads one status or a range; zero for the default.
func (p *parser) statuses(path string, n *node) (least, most int) {
	part := statusRange().FindStringSubmatch(n.text())
	if part != nil {
		least, _ = strconv.Atoi(part[1]) // three digits
		most = least
		if part[2] != "" {
			most, _ = strconv.Atoi(part[2])
		}
	}
	if part == nil || least > most {
		p.invalid(n, path, "give one such as 204, or a range such as 200-399", "%s is not a status from 200 to 599, or a range of them", n.shown())
		return 0, 0
	}
	if least == 200 && most == 299 {
		return 0, 0
	}
	return least, most
}

func (p *parser) headers(path string, n *node) map[string]string {
	if n = p.mapOf(n, path, "write a map such as {Host: app.example.com}"); n == nil {
		return nil
	}
	if len(n.fields) > mostHeaders {
		p.invalid(n, path, "send fewer", "there are %d headers; at most %d are supported", len(n.fields), mostHeaders)
	}
	headers, seen := map[string]string{}, map[string]bool{}
	for _, f := range n.fields {
		at, value, lower := path+"."+f.key, f.node.text(), strings.ToLower(f.key)
		switch {
		case !headerName().MatchString(f.key) || len(f.key) > longestText:
			p.invalid(&node{line: f.line}, at, "use letters, digits and -", "%s is not a header's name", berth.Quote(f.key))
		case slices.Contains(framing, lower):
			p.invalid(&node{line: f.line}, at, leaveOut, "Berth writes %s itself", f.key)
		case seen[lower]:
			p.invalid(&node{line: f.line}, at, leaveOut, "the header is there twice")
		case f.node.isMap || f.node.isList:
			p.invalid(f.node, at, "write a text", "is not a text")
		case len(value) > longestText || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
			p.invalid(f.node, at, "give another value", "%s is not at most %d printable ASCII characters", berth.Quote(value), longestText)
		}
		headers[f.key], seen[lower] = value, true
	}
	return headers
}

// engineCheck sees to it that there is something for the engine to say.
func (p *parser) engineCheck(a *App) {
	if main := a.main(); a.Health.Kind == berth.ProbeEngine && main.Probe == nil && !p.guessed && !p.gone("services."+main.Name+".healthcheck") {
		p.invalid(p.find("x-berth.health.type"), "x-berth.health.type", "give "+main.Name+" a healthcheck, or use http or tcp",
			"service %s has no healthcheck in this file", main.Name)
	}
}
