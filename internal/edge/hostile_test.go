package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth/internal/edge"
	"github.com/unite-hub/berth/internal/testbed"
)

// hostile is an upstream that says what it likes to each request.
func hostile(t testing.TB, say func(c net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if req.URL.Path == "/good" {
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
						continue
					}
					say(c)
					if req.ContentLength != 0 {
						return // the rest is no request
					}
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// endless writes until the other side has enough.
func endless(c net.Conn, what string) {
	for {
		if _, err := io.WriteString(c, what); err != nil {
			return
		}
	}
}

func TestAHostileAnswerIsCutOffWithItsCause(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct {
		name  string
		cause string
		say   func(net.Conn)
	}{
		{"a long header", "longer than 16384 bytes", func(c net.Conn) { endless(c, head+"X: "+strings.Repeat("x", 1<<20)) }},
		{"an endless status line", "longer than 16384 bytes", func(c net.Conn) { endless(c, "HTTP/1.1 200 OKOKOKOKOK") }},
		{"endless headers", "longer than 16384 bytes", func(c net.Conn) { endless(c, head+strings.Repeat("X-A: 1\r\n", 1<<12)) }},
		{"endless folding", "longer than 16384 bytes", func(c net.Conn) { endless(c, head+"X: "+strings.Repeat("\r\n x", 1<<12)) }},
		{"long answers that inform", "longer than 16384 bytes", func(c net.Conn) {
			endless(c, "HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("x", 8<<10)+"\r\n\r\n")
		}},
		{"many answers that inform", "more than 8 answers that only inform", func(c net.Conn) {
			for range 9 {
				io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
			}
			io.WriteString(c, head+"Content-Length: 0\r\n\r\n")
		}},
		{"many that tell to continue", "more than 8 answers that only inform", func(c net.Conn) {
			for range 9 {
				io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			io.WriteString(c, head+"Content-Length: 0\r\n\r\n")
		}},
		{"a slow header", "took longer than 300ms", func(c net.Conn) {
			io.WriteString(c, head+"X: ")
			for range 1000 {
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				<-time.After(5 * time.Millisecond)
			}
		}},
		{"half a header", "took longer than 300ms", func(c net.Conn) {
			io.WriteString(c, head+"X: ")
			_, _ = io.Copy(io.Discard, c)
		}},
		{"half a header after one that informs", "took longer than 300ms", func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"+head)
			<-time.After(20 * time.Millisecond)
			io.WriteString(c, "X: ")
			_, _ = io.Copy(io.Discard, c)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			port, other := freePort(t), freePort(t)
			e, _ := running(t, edge.Options{MaxAnswerHeaderBytes: 16 << 10, AnswerHeaderTimeout: 300 * time.Millisecond, MaxInforming: 8})
			up := hostile(t, c.say)
			apply(t, e, route(port, up), route(other, backend(t, says("ok"))))
			cl := client(t)
			for range 3 { // over an idle connection of the upstream's too
				res, err := cl.Get(url(port, "/good"))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				res, body := get(t, cl, port)
				if res.StatusCode != 502 || !strings.Contains(body, "upstream_over_limit") || !strings.Contains(body, c.cause) {
					t.Errorf("%d %s", res.StatusCode, body)
				}
			}
			if res, _ := get(t, cl, other); res.StatusCode != 200 {
				t.Errorf("the other tenant: %d", res.StatusCode)
			}
		})
	}
}

func TestAnAnswerWithoutAStatusIsAnswered(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"000", "099", "+20", "2xx", "1000", ""} {
		port := freePort(t)
		e, _ := running(t, edge.Options{})
		r := route(port, hostile(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 "+status+" OK\r\nContent-Length: 2\r\n\r\nok") }))
		apply(t, e, r)
		if res, body := get(t, client(t), port); res.StatusCode != 502 || !strings.Contains(body, "upstream_failed") {
			t.Errorf("%q: %d %s", status, res.StatusCode, body)
		}
		until(t, "it is over", func() bool { return e.Traffic()[r.OrganizationID].UnderWay == 0 })
	}
}

// What comes after the head can't be answered any more: the client sees it end.
func TestAHostileEndOfAnAnswerIsBounded(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
	for name, rest := range map[string]string{
		"a long trailer":             "0\r\nX-T: " + strings.Repeat("x", 1<<20),
		"endless trailers":           "0\r\n" + strings.Repeat("X-T: x\r\n", 1<<12),
		"an endless chunk size":      strings.Repeat("0", 1<<20),
		"an endless chunk extension": "2;x=" + strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			e, _ := running(t, edge.Options{})
			r := route(port, hostile(t, func(c net.Conn) { io.WriteString(c, head); endless(c, rest) }))
			apply(t, e, r)
			res, err := client(t).Get(url(port, "/"))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); err == nil || string(body) != "ok" {
				t.Errorf("%q %v", body, err)
			}
			until(t, "it is over", func() bool { return e.Traffic()[r.OrganizationID].UnderWay == 0 })
		})
	}
}

func TestTheMemoryOfATenantsAnswersIsBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	port, other := freePort(t), freePort(t)
	e, _ := running(t, edge.Options{Memory: 8 << 20, TenantMemory: 1 << 20, AnswerHeaderTimeout: 3 * time.Second})
	up := hostile(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-A: 1\r\n", 2000))
		<-release
	})
	r := route(port, up)
	apply(t, e, r, route(other, backend(t, says("ok"))))
	t.Cleanup(func() { close(release) })
	answers := make(chan string, 8)
	for range cap(answers) {
		go func() {
			res, err := client(t).Get(url(port, "/"))
			if err != nil { // it had asked nothing yet, and made room for another connection
				answers <- "tenant_busy"
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			answers <- string(body)
		}()
	}
	body := <-answers
	for range cap(answers) - 1 {
		if !strings.Contains(body, "tenant_busy") { // the answers to the others left no memory for this one's head
			break
		}
		body = <-answers
	}
	if !strings.Contains(body, "upstream_over_limit") || !strings.Contains(body, "memory") {
		t.Errorf("the first that is answered: %s", body)
	}
	if res, _ := get(t, client(t), other); res.StatusCode != 200 {
		t.Errorf("the other tenant: %d", res.StatusCode)
	}
	until(t, "the others end by their time", func() bool { return e.Traffic()[r.OrganizationID].UnderWay == 0 })
	until(t, "the tenant is answered again", func() bool {
		res, err := client(t).Get(url(port, "/good"))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
}

func TestUpgradedConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{MaxUpgraded: 2})
	r := route(port, hostile(t, func(c net.Conn) {
		io.WriteString(c, switches)
		_, _ = io.Copy(c, c)
	}))
	apply(t, e, r)
	clients := 0
	open := func() (net.Conn, *http.Response) {
		clients++ // one client may take no more than it leaves
		c := from(t, fmt.Sprintf("127.0.1.%d", clients%250+1), port)
		io.WriteString(c, upgrade)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c, res
	}
	first, res := open()
	if _, second := open(); res.StatusCode != 101 || second.StatusCode != 101 {
		t.Fatalf("%d, %d", res.StatusCode, second.StatusCode)
	}
	_, res = open()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 502 || !strings.Contains(string(body), "more than 2 of its connections") {
		t.Errorf("a third: %d %s", res.StatusCode, body)
	}
	first.Close()
	until(t, "a place is free again", func() bool {
		c, res := open()
		defer c.Close()
		return res.StatusCode == 101
	})
}

// A long answer that comes late, and one that informs in time, are no floods.
func TestAPatientAnswerPasses(t *testing.T) {
	const late = 300 * time.Millisecond
	port := freePort(t)
	e, _ := running(t, edge.Options{AnswerHeaderTimeout: late, MaxInforming: 8})
	apply(t, e, route(port, hostile(t, func(c net.Conn) {
		<-time.After(2 * late)
		io.WriteString(c, "HTTP/1.1 102 Processing\r\n\r\n")
		<-time.After(2 * late)
		io.WriteString(c, fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Long: %s\r\nContent-Length: 4\r\n\r\nla", strings.Repeat("x", 60<<10)))
		<-time.After(2 * late)
		io.WriteString(c, "te")
	})))
	if res, body := get(t, client(t), port); res.StatusCode != 200 || body != "late" || len(res.Header.Get("X-Long")) != 60<<10 {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

// Nobody knows where a body ends whose framing is broken: what follows must not be
// taken for a request, which a proxy in front would not have seen.
func TestWhatFollowsABrokenBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	port, seen := freePort(t), make(chan string, 1000)
	e, _ := running(t, edge.Options{})
	apply(t, e, route(port, backend(t, func(_ http.ResponseWriter, r *http.Request) {
		seen <- r.URL.Path
		_, _ = io.Copy(io.Discard, r.Body)
	})))
	for name, body := range testbed.BrokenBodies() {
		for range 5 {
			c := dial(t, port)
			io.WriteString(c, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+body+"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			if res, answer := read(t, c); res.StatusCode != 400 || !strings.Contains(answer, "malformed_request") {
				t.Errorf("%s: %d %s", name, res.StatusCode, answer)
			}
			_, _ = io.Copy(io.Discard, c) // until the edge closes
			c.Close()
		}
	}
	for len(seen) > 0 {
		if path := <-seen; path == "/smuggled" {
			t.Fatal("what followed was taken for a request")
		}
	}
}
