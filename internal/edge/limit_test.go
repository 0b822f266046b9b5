package edge_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

func set(v int64, routes ...berth.Route) berth.RouteSet {
	return berth.RouteSet{Version: v, Routes: routes}
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("never: " + what)
		}
	}
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{HeaderTimeout: 50 * time.Millisecond})
	apply(t, e, route(port, backend(t, says("ok"))))
	c := dial(t, port)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
	got, err := io.ReadAll(c)
	if err != nil || bytes.Contains(got, []byte("200")) {
		t.Errorf("%q %v", got, err)
	}
}

func TestBigHeadersAreRefused(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{MaxHeaderBytes: 4 << 10})
	apply(t, e, route(port, backend(t, says("ok"))))
	c := dial(t, port)
	go io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Big: "+string(bytes.Repeat([]byte("a"), 16<<10))+"\r\n\r\n")
	if res, _ := read(t, c); res.StatusCode != 431 {
		t.Errorf("status %d", res.StatusCode)
	}
}

// It is no fault of a client's that others hold the memory: it is told to come back.
func TestAHeadThatThereIsNoMemoryForIsAnsweredAsBusyAndOneThatNeverFitsAsTooLarge(t *testing.T) {
	port := freePort(t)
	e, _ := running(t, edge.Options{TenantMemory: 128 << 10, TrustedProxies: loopback()})
	apply(t, e, route(port, backend(t, says("ok"))))
	const head = "GET / HTTP/1.1\r\nHost: a\r\n"
	ask := func(rest string) (*http.Response, string) {
		for {
			c := dial(t, port)
			go io.WriteString(c, head+rest+"\r\n")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil { // there was no room for the connection beside one that ends
				c.Close()
				continue
			}
			body, err := io.ReadAll(res.Body)
			if c.Close(); err != nil {
				t.Fatal(err)
			}
			return res, string(body)
		}
	}
	long := "X-Long: " + string(bytes.Repeat([]byte("a"), 20<<10)) + "\r\n"
	if res, _ := ask(long); res.StatusCode != 200 {
		t.Errorf("alone: %d", res.StatusCode)
	}
	other := dial(t, port)
	io.WriteString(other, head+"X-Longer: "+string(bytes.Repeat([]byte("a"), 40<<10)))
	until(t, "there is no memory left", func() bool {
		res, body := ask(long)
		if res.StatusCode == 200 {
			return false // the other's head is not charged yet
		}
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "tenant_busy") {
			t.Fatalf("%d %v %s", res.StatusCode, res.Header, body)
		}
		return res.Close // else its head had room, and what else it takes had none
	})
	other.Close()
	until(t, "it is answered again", func() bool { res, _ := ask(long); return res.StatusCode == 200 })
	if res, body := ask(strings.Repeat("a:b\r\n", 3000)); res.StatusCode != 431 || !strings.Contains(body, "request_too_large") || res.Header.Get("Retry-After") != "" {
		t.Errorf("lines without end: %d %s", res.StatusCode, body)
	}
}

// loopback is trusted, so that the bounds of one client are out of the way.
func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func TestATenantsConnectionLimitTouchesNoOther(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		if r.URL.Path == "/wait" {
			<-release
		}
	})
	full, other := freePort(t), freePort(t)
	e, _ := running(t, edge.Options{MaxConnections: 2, TrustedProxies: loopback()})
	apply(t, e, route(full, up), route(other, up))
	ask := func(c net.Conn, path string) error {
		io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		_, err := io.ReadFull(c, make([]byte, len("HTTP/1.1 200")))
		return err
	}
	first, second := dial(t, full), dial(t, full)
	for _, c := range []net.Conn{first, second} {
		if err := ask(c, "/wait"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(dial(t, full), "/"); err == nil {
		t.Error("a third connection was served")
	}
	if err := ask(dial(t, other), "/"); err != nil {
		t.Errorf("the other tenant: %v", err)
	}
	first.Close()
	close(release)
	until(t, "a place is free again", func() bool {
		c := dial(t, full)
		defer c.Close()
		return ask(c, "/") == nil
	})
}

func TestAnIdleConnectionMakesRoomForOneThatComes(t *testing.T) {
	t.Parallel()
	up := backend(t, says("ok"))
	port := freePort(t)
	e, _ := running(t, edge.Options{MaxConnections: 2, TrustedProxies: loopback()})
	apply(t, e, route(port, up))
	for range 10 {
		c := dial(t, port) // and stays open
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if res, _ := read(t, c); res.StatusCode != 200 {
			t.Fatalf("status %d", res.StatusCode)
		}
	}
}

func TestOnlyATenantItselfComesInFromBerthsPool(t *testing.T) {
	t.Parallel()
	up := backend(t, says("ok"))
	own, other := freePort(t), freePort(t)
	e, _ := running(t, edge.Options{Pool: netip.MustParsePrefix("127.0.0.0/8")})
	mine := route(own, up)
	mine.Subnet = netip.MustParsePrefix("127.0.0.0/28")
	theirs := route(other, up)
	theirs.Subnet = netip.MustParsePrefix("127.0.0.16/28")
	apply(t, e, mine, theirs)
	if res, _ := get(t, client(t), own); res.StatusCode != 200 {
		t.Errorf("own route: %d", res.StatusCode)
	}
	if res, err := client(t).Get(url(other, "/")); err == nil {
		res.Body.Close()
		t.Errorf("another tenant's route: %d", res.StatusCode)
	}
}

// The pool of the control plane that provisioned a tenant may be another one.
func TestATenantOfAnotherPoolComesInByItsOwnRouteOnly(t *testing.T) {
	t.Parallel()
	up := backend(t, says("ok"))
	own, other := freePort(t), freePort(t)
	e, _ := running(t, edge.Options{Pool: netip.MustParsePrefix("10.64.0.0/12")})
	mine := route(own, up)
	mine.Subnet = netip.MustParsePrefix("127.0.0.0/28")
	theirs := route(other, up)
	theirs.Subnet = netip.MustParsePrefix("10.64.0.16/28")
	apply(t, e, mine, theirs)
	if res, _ := get(t, client(t), own); res.StatusCode != 200 {
		t.Errorf("own route: %d", res.StatusCode)
	}
	if res, err := client(t).Get(url(other, "/")); err == nil {
		res.Body.Close()
		t.Errorf("another tenant's route: %d", res.StatusCode)
	}
	apply(t, e, theirs)
	if res, _ := get(t, client(t), other); res.StatusCode != 200 {
		t.Errorf("a source that is no tenant's any more: %d", res.StatusCode)
	}
}
