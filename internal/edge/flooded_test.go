package edge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

// floodedRole is set in a process that is a control plane as far as a flood
// goes: an edge with tenants, and an API beside it. Its value is the address of
// the tenants' upstream, which the parent has.
const floodedRole = "BERTH_TEST_FLOODED"

const (
	// What the process may have, above what it has when it starts.
	floodedMemory      = 384 << 20
	floodedDescriptors = 512
	floodedTenants     = 4
)

// flooded is that process. It says where it listens, and lives until its
// standard input ends.
func flooded() int {
	fail := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }
	var data uint64 // KiB
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fail(err)
	}
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmData: %d kB", &data)
	}
	for resource, most := range map[int]uint64{unix.RLIMIT_DATA: data<<10 + floodedMemory, unix.RLIMIT_NOFILE: floodedDescriptors} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fail(err)
		}
	}
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fail(err)
	}
	go func() {
		_ = http.Serve(api, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Fprint(w, m.HeapAlloc)
		}))
	}()
	// Everything else by default, but for what a crowded machine takes: a dial's
	// time passes before the process gets to look at its connection.
	e := edge.New(edge.Options{ListenHost: "127.0.0.1", DialTimeout: patience})
	var routes []berth.Route
	ports := []int{api.Addr().(*net.TCPAddr).Port}
	for n := range floodedTenants {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fail(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		ports = append(ports, port)
		routes = append(routes, berth.Route{OrganizationID: strconv.Itoa(n), Name: "Acme", Port: port, State: berth.RouteServing,
			Upstreams: []netip.AddrPort{netip.MustParseAddrPort(os.Getenv(floodedRole))}})
	}
	if r := e.Apply(berth.RouteSet{Version: 1, Routes: routes}); r.Refused != nil {
		return fail(r.Refused[0].Err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(ports)
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.Run(ctx)
	return 0
}

// startFlooded starts the process and returns the ports of its API and tenants.
func startFlooded(t *testing.T, upstream netip.AddrPort) (api int, tenants []int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), floodedRole+"="+upstream.String(), "GOMEMLIMIT=256MiB")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ports []int
	if err := json.NewDecoder(stdout).Decode(&ports); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the flooded process: %v", err)
		}
	})
	return ports[0], ports[1:]
}

// floodUpstream answers by path what a tenant's program might.
func floodUpstream(t *testing.T) netip.AddrPort {
	return hostile(t, func(c net.Conn) {
		// The head of an answer: 10 MB, slowly, and never an end.
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		line := "X-" + strings.Repeat("y", 1000) + ": " + strings.Repeat("x", 9000) + "\r\n"
		for range 1000 {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	})
}

func TestTheAPIAndOtherTenantsAnswerThroughEveryFlood(t *testing.T) {
	api, tenants := startFlooded(t, floodUpstream(t))
	connections := func(flood string) int {
		if strings.Contains(flood, "endless") || flood == "rubbish" || flood == "prefaces of HTTP/2" || flood == "pipelined requests" || flood == "nothing read" {
			return 32 // each of them keeps the machine busy
		}
		return 400 // more than the tenants may have; with 10 MB each, far more than the process may
	}
	sources := func(n int) string { return fmt.Sprintf("127.0.%d.%d", 3+n/200, 1+n%200) }
	one := func(int) string { return "127.0.0.66" }
	lines := strings.Repeat("a:\r\n", 12000)
	for _, flood := range []struct {
		name   string
		source func(n int) string
		send   func(c net.Conn)
	}{
		{"answers with headers of 10 MB", one, func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") }},
		{"the same for many clients", sources, func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") }},
		{"idle connections", one, func(net.Conn) {}},
		{"idle connections of many clients", sources, func(net.Conn) {}},
		{"slow headers of many clients", sources, func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX: ") }},
		{"headers of many lines, without an end", sources, func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n"+lines) }},
		{"requests with many lines of header", sources, func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n"+lines+"\r\n") }},
		{"headers of a megabyte", sources, func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("x", 1<<20)) }},
		{"half bodies", sources, func(c net.Conn) { io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx") }},
		{"endless bodies", sources, func(c net.Conn) {
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			pump(c, "1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n")
		}},
		{"endless chunk extensions", sources, func(c net.Conn) {
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			pump(c, "1;"+strings.Repeat("x", 1<<16))
		}},
		{"rubbish", sources, func(c net.Conn) { pump(c, "\x16\x03\x01"+strings.Repeat("\x00", 1000)) }},
		{"pipelined requests", sources, func(c net.Conn) { pump(c, strings.Repeat("GET /good HTTP/1.1\r\nHost: a\r\n\r\n", 100)) }},
		{"nothing read", sources, func(c net.Conn) { io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 10)) }},
		{"prefaces of HTTP/2", sources, func(c net.Conn) {
			pump(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+strings.Repeat("\x00\x00\x00\x04\x00\x00\x00\x00\x00", 100))
		}},
		{"connections that come and go", sources, func(c net.Conn) { c.Close() }},
		{"idle connections of one client at all tenants", one, func(net.Conn) {}},
		{"kept connections of one client at all tenants", one, func(c net.Conn) {
			io.WriteString(c, "GET /good HTTP/1.1\r\nHost: a\r\n\r\n")
		}},
		{"slow headers of one client at all tenants", one, func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX: ") }},
		{"headers of many lines of one client at all tenants", one, func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n"+lines) }},
		{"half bodies of one client at all tenants", one, func(c net.Conn) {
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx")
		}},
		{"answers not read of one client at all tenants", one, func(c net.Conn) {
			io.WriteString(c, strings.Repeat("GET /good HTTP/1.1\r\nHost: a\r\n\r\n", 1000))
		}},
		{"halves closed", sources, func(c net.Conn) {
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			_ = c.(*net.TCPConn).CloseWrite()
		}},
	} {
		t.Run(flood.name, func(t *testing.T) {
			var senders sync.WaitGroup
			var open []net.Conn
			for n := range connections(flood.name) {
				// All but the last tenant are flooded, or all by one client.
				at := tenants[n%(len(tenants)-1)]
				if strings.HasSuffix(flood.name, "at all tenants") {
					at = tenants[n%len(tenants)]
				}
				c := from(t, flood.source(n), at)
				open = append(open, c)
				senders.Go(func() { flood.send(c) })
			}
			for range 5 {
				heap := askOnce(t, "127.0.0.9", api, "/")
				if n, err := strconv.Atoi(heap); err != nil || n > floodedMemory/2 {
					t.Errorf("the API says %q", heap)
				}
				if got := askOnce(t, "127.0.0.9", tenants[len(tenants)-1], "/good"); got != "ok" {
					t.Errorf("the other tenant says %q", got)
				}
			}
			for _, c := range open {
				c.Close()
			}
			senders.Wait()
			for n, port := range tenants {
				until(t, fmt.Sprintf("tenant %d answers once it is over", n), func() bool { return askOnce(t, "127.0.0.9", port, "/good") == "ok" })
			}
		})
	}
}

// pump writes far more than may be held for a client, as fast as it goes, and goes
// on for ever at a pace that leaves something of the machine to whoever looks.
func pump(c net.Conn, what string) {
	for sent := 0; ; sent += len(what) {
		if _, err := io.WriteString(c, what); err != nil {
			return
		}
		if sent > 4<<20 {
			<-time.After(50 * time.Millisecond)
		}
	}
}

// askOnce asks on a connection of its own and returns the body, or what came in
// its place.
func askOnce(t *testing.T, source string, port int, path string) string {
	t.Helper()
	c := from(t, source, port)
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * patience)) // whoever floods keeps the machine busy as well
	io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		return fmt.Sprint(res.Status, err, string(body))
	}
	return string(body)
}
