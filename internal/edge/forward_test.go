package edge_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth/internal/edge"
)

func dial(t testing.TB, port int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func read(t testing.TB, c net.Conn) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func serving(t testing.TB, h http.HandlerFunc) (port int) {
	t.Helper()
	port = freePort(t)
	e, _ := running(t, edge.Options{})
	apply(t, e, route(port, backend(t, h)))
	return port
}

func TestOnlyTheEdgeSaysWhoTheClientIs(t *testing.T) {
	t.Parallel()
	var got *http.Request
	port := serving(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	req, _ := http.NewRequest("GET", url(port, "/a%2Fb?x=1;y&z=%zz"), nil)
	req.Host = "shop.example"
	for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
		"X-Forwarded-Prefix", "Forwarded", "X-Real-IP"} {
		req.Header.Set(h, "evil")
	}
	req.Header.Set("X-Own", "kept")
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "shop.example",
		"X-Forwarded-Proto": "http", "X-Forwarded-Port": "", "X-Forwarded-Prefix": "", "Forwarded": "", "X-Real-Ip": "", "X-Own": "kept"} {
		if v := strings.Join(got.Header.Values(name), "|"); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if got.Host != "shop.example" || got.RequestURI != "/a%2Fb?x=1;y&z=%zz" {
		t.Errorf("got %s %s", got.Host, got.RequestURI)
	}
}

func TestAnEventArrivesBeforeTheAnswerEnds(t *testing.T) {
	t.Parallel()
	t.Run("of unknown length", func(t *testing.T) { firstPartArrives(t, "text/event-stream", "") })
	t.Run("of known length", func(t *testing.T) { firstPartArrives(t, "text/plain", "12") })
}

func firstPartArrives(t *testing.T, contentType, length string) {
	release := make(chan struct{})
	port := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		if length != "" {
			w.Header().Set("Content-Length", length)
		}
		io.WriteString(w, "data: one\n\n")
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, "\n")
	})
	c := client(t)
	c.Timeout = 3 * time.Second // then the answer waits for its end
	res, err := c.Get(url(port, "/"))
	if err != nil {
		close(release)
		t.Fatal(err)
	}
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	close(release)
	if err != nil || line != "data: one\n" {
		t.Errorf("%q %v", line, err)
	}
}

func TestAnUpgradedConnectionGoesBothWays(t *testing.T) {
	t.Parallel()
	port := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			t.Errorf("Upgrade: %q", r.Header.Get("Upgrade"))
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(c, rw)
	})
	c := dial(t, port)
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("%v %v", res, err)
	}
	for _, msg := range []string{"ping\n", "pong\n"} {
		io.WriteString(c, msg)
		if line, err := r.ReadString('\n'); err != nil || line != msg {
			t.Fatalf("%q %v", line, err)
		}
	}
}

func TestOldClientsAreServed(t *testing.T) {
	t.Parallel()
	port := serving(t, says("old"))
	c := dial(t, port)
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	all, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.0 200") || !strings.HasSuffix(string(all), "old") {
		t.Errorf("%q %v", all, err)
	}
}

func TestTrailersAndEarlyHintsPass(t *testing.T) {
	t.Parallel()
	port := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", r.Trailer.Get("X-Up"))
	})
	var hints int
	req, _ := http.NewRequest("POST", url(port, "/"), io.MultiReader(strings.NewReader("up")))
	req.Trailer = http.Header{"X-Up": {"seven"}}
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == http.StatusEarlyHints && h.Get("Link") == "</style.css>" {
				hints++
			}
			return nil
		}}))
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "body" {
		t.Fatalf("%q %v", body, err)
	}
	if hints != 1 || res.Trailer.Get("X-Sum") != "seven" {
		t.Errorf("hints %d, trailer %q", hints, res.Trailer.Get("X-Sum"))
	}
}

func TestABigUploadArrivesWhole(t *testing.T) {
	t.Parallel()
	port := serving(t, func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d %x %v", n, h.Sum(nil), err)
	})
	data := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // 64 MB
	res, err := client(t).Post(url(port, "/"), "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, _ := io.ReadAll(res.Body)
	if want := fmt.Sprintf("%d %x <nil>", len(data), sha256.Sum256(data)); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnAnswerMayBeginBeforeTheUploadEnds(t *testing.T) {
	t.Parallel()
	port := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		b := make([]byte, 5)
		for {
			n, err := io.ReadFull(r.Body, b)
			w.Write(b[:n])
			w.(http.Flusher).Flush()
			if err != nil {
				return
			}
		}
	})
	up, feed := io.Pipe()
	answered := make(chan *http.Response, 1)
	go func() {
		res, err := client(t).Post(url(port, "/"), "text/plain", up)
		if err != nil {
			t.Error(err)
		}
		answered <- res
	}()
	io.WriteString(feed, "first")
	res := <-answered
	if res == nil {
		t.FailNow()
	}
	defer res.Body.Close()
	b := make([]byte, 5)
	if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != "first" {
		t.Fatalf("%q %v", b, err)
	}
	io.WriteString(feed, "later")
	feed.Close()
	if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != "later" {
		t.Errorf("%q %v", rest, err)
	}
}

func TestUpstreamsTakeTurnsAndADeadOneIsPassedOver(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	echo := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			io.WriteString(w, name+string(b))
		}
	}
	dead := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(freePort(t)))
	apply(t, e, route(port, backend(t, echo("a")), dead, backend(t, echo("b"))))
	seen := map[string]int{}
	for range 30 {
		res, err := client(t).Post(url(port, "/"), "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		seen[string(b)]++
	}
	if seen["abody"] != 10 || seen["bbody"] != 20 {
		t.Errorf("answers: %v", seen)
	}
}
