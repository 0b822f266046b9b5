package blueprint_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
)

func TestAHealthCheckThatCannotBeAskedIsRefused(t *testing.T) {
	many := "a0: x"
	for i := range 16 {
		many += fmt.Sprintf(", b%d: x", i)
	}
	long := strings.Repeat("x", 257)
	for health, want := range map[string]string{
		"{timeout: 31s}":                  "timeout: invalid: a timeout of 31s is longer than the interval of 30s (give at most the interval)",
		"{interval: 2s, timeout: 2001ms}": "timeout: invalid: a timeout of 2.001s is longer than the interval of 2s (give at most the interval)",
		"{type: engine}":                  "type: invalid: service web has no healthcheck in this file (give web a healthcheck, or use http or tcp)",
		"{type: ping}":                    "type: invalid: \"ping\" is not a way to ask (write http, tcp or engine)",
		"{type: tcp, headers: {A: b}}":    "headers: invalid: a check of type tcp has no headers (leave it out, or use type http)",
		"{method: CONNECT}":               "method: invalid: \"CONNECT\" is not a method that a check may use (use one of GET, HEAD, POST, OPTIONS)",
		"{status: 399-200}":               "status: invalid: \"399-200\" is not a status from 200 to 599, or a range of them (give one such as 204, or a range such as 200-399)",
		"{status: 101}":                   "status: invalid: \"101\" is not a status from 200 to 599, or a range of them (give one such as 204, or a range such as 200-399)",
		"{headers: {Content-Length: 5}}":  "headers.Content-Length: invalid: Berth writes Content-Length itself (leave it out)",
		"{headers: {A: b, a: c}}":         "headers.a: invalid: the header is there twice (leave it out)",
		"{headers: {\"A\\nB\": b}}":       "headers.A\nB: invalid: \"A\\nB\" is not a header's name (use letters, digits and -)",
		"{headers: {A: \"b\\r\\nX: 1\"}}": "headers.A: invalid: \"b\\r\\nX: 1\" is not at most 256 printable ASCII characters (give another value)",
		"{headers: {A: ä}}":               "headers.A: invalid: \"ä\" is not at most 256 printable ASCII characters (give another value)",
		"{headers: {A: " + long + "}}":    "headers.A: invalid: " + berth.Quote(long) + " is not at most 256 printable ASCII characters (give another value)",
		"{headers: {" + many + "}}":       "headers: invalid: there are 17 headers; at most 16 are supported (send fewer)",
	} {
		_, findings := blueprint.Parse([]byte(fmt.Sprintf(minimal, "", ", health: "+health)))
		got := show(findings)
		if _, rest, ok := strings.Cut(got, " x-berth.health."); len(findings) != 1 || !ok || rest != want+"\n" {
			t.Errorf("%s: got\n%s", health, got)
		}
	}
}

func TestAHealthCheckIsReadAsItStands(t *testing.T) {
	base := berth.HealthCheck{Path: "/api/health", Interval: 30 * time.Second, Timeout: 10 * time.Second, Retries: 3, StartPeriod: 40 * time.Second}
	with := func(change func(*berth.HealthCheck)) berth.HealthCheck {
		h := base
		change(&h)
		return h
	}
	for health, want := range map[string]berth.HealthCheck{
		"{type: http, method: GET, status: 200-299, headers: {}}": base,
		"{interval: 5s}": with(func(h *berth.HealthCheck) { h.Interval = 5 * time.Second }),
		"{type: tcp}":    with(func(h *berth.HealthCheck) { h.Kind, h.Path = berth.ProbeTCP, "" }),
		"{method: HEAD, status: 204, headers: {Host: a.example.com, X-N: 1}}": with(func(h *berth.HealthCheck) {
			h.Method, h.StatusMin, h.StatusMax, h.Headers = "HEAD", 204, 204, map[string]string{"Host": "a.example.com", "X-N": "1"}
		}),
		"{status: '200-399'}": with(func(h *berth.HealthCheck) { h.StatusMin, h.StatusMax = 200, 399 }),
	} {
		app, findings := blueprint.Parse([]byte(fmt.Sprintf(minimal, "", ", health: "+health)))
		if len(findings) > 0 {
			t.Errorf("%s: %s", health, show(findings))
			continue
		}
		if diff := cmp.Diff(want, app.Health); diff != "" {
			t.Errorf("%s: %s", health, diff)
		}
	}
}
