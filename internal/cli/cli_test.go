package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// run is one call of the command line against api.
type run struct {
	t        *testing.T
	ctx      context.Context
	stdin    io.Reader
	terminal bool
	stdout   bytes.Buffer
	stderr   bytes.Buffer
}

func (r *run) berth(api http.Handler, args ...string) int {
	r.t.Helper()
	s := httptest.NewServer(api)
	defer s.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if r.ctx == nil {
		r.ctx = r.t.Context()
	}
	env := map[string]string{"BERTH_URL": s.URL, "BERTH_TOKEN": "t"}
	return Main(r.ctx, Env{
		Args: args, Stdin: r.stdin, Stdout: &r.stdout, Stderr: &r.stderr, Terminal: r.terminal,
		Getenv: func(name string) string { return env[name] },
	})
}

// slow is an API whose deployment is over after it was asked for polls times.
type slow struct {
	mu      sync.Mutex
	polls   int
	onPoll  func()
	orders  []string // query and key of each
	pending string   // what a pending deployment looks like
}

func (s *slow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		s.polls--
		if s.onPoll != nil {
			s.onPoll()
		}
		if s.polls < 0 {
			_, _ = io.WriteString(w, `{"id":"d1","status":"completed"}`)
			return
		}
		_, _ = io.WriteString(w, s.pending)
		return
	}
	s.orders = append(s.orders, r.URL.RawQuery+" "+r.Header.Get("Idempotency-Key"))
	if s.polls >= 0 {
		w.WriteHeader(http.StatusAccepted)
	}
	_, _ = io.WriteString(w, `{"success":true,"deploymentId":"d1","slug":"acme"}`)
}

const pulling = `{"id":"d1","status":"pending","deploymentType":"deploy","step":"pull image","progressDone":1048576,"progressTotal":3145728}`

func TestATerminalShowsHowFarAnOrderIsAndOrdersOnce(t *testing.T) {
	api := &slow{polls: 1, pending: pulling}
	r := run{t: t, terminal: true}
	if code := r.berth(api, "deploy", "acme", "--image", "v2"); code != 0 {
		t.Fatalf("exit %d: %s", code, &r.stderr)
	}
	if want := "deploy: pull image, 0 s, 1.0 of 3.0 MB"; !strings.Contains(r.stderr.String(), want) {
		t.Errorf("stderr %q, want %q in it", &r.stderr, want)
	}
	if !strings.HasSuffix(r.stderr.String(), "\r\x1b[K") {
		t.Errorf("the progress line stays: %q", &r.stderr)
	}
	if strings.Contains(r.stdout.String(), "pull image") {
		t.Errorf("progress on stdout: %q", &r.stdout)
	}
	wantOneOrder(t, api.orders, "wait=0", "wait=25")
}

// wantOneOrder checks that all requests carried one key, and how long they
// waited.
func wantOneOrder(t *testing.T, orders []string, waits ...string) {
	t.Helper()
	if len(orders) != len(waits) {
		t.Fatalf("%d requests %q, want %d", len(orders), orders, len(waits))
	}
	_, first, _ := strings.Cut(orders[0], " ")
	for i, o := range orders {
		wait, key, _ := strings.Cut(o, " ")
		if wait != waits[i] || key != first || key == "" {
			t.Errorf("requests %q, want waits %q under one key", orders, waits)
		}
	}
}

// Nobody between must have to keep one answer open for minutes.
func TestWithoutATerminalAnOrderIsAskedForUntilItIsOver(t *testing.T) {
	var asked []string
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery+" "+r.Header.Get("Idempotency-Key"))
		if len(asked) < 3 {
			w.WriteHeader(http.StatusAccepted)
		}
		_, _ = io.WriteString(w, `{"success":true,"deploymentId":"d1","slug":"acme"}`)
	})
	r := run{t: t}
	if code := r.berth(api, "deploy", "acme", "--image", "v2"); code != 0 || r.stderr.Len() > 0 {
		t.Fatalf("exit %d: %s", code, &r.stderr)
	}
	wantOneOrder(t, asked, "wait=25", "wait=25", "wait=25")
}

func TestAnOrderThatOutlastsTheWaitIsNotWaitedForTwice(t *testing.T) {
	api := &slow{polls: 1 << 20, pending: pulling}
	r := run{t: t, terminal: true}
	if code := r.berth(api, "deploy", "acme", "--wait", "1"); code != 6 { // a script must not take it for done
		t.Fatalf("exit %d, want 6: %s", code, &r.stderr)
	}
	wantOneOrder(t, api.orders, "wait=0", "wait=0")
	if !strings.HasSuffix(r.stderr.String(), "still under way; follow it with: berth deployments acme; take it back with: berth cancel acme --deployment d1\n") {
		t.Errorf("stderr %q", &r.stderr)
	}
}

// To cancel a provision is refused.
func TestAProvisionThatOutlastsTheWaitSaysHowItIsTakenBack(t *testing.T) {
	r := run{t: t}
	code := r.berth(&slow{polls: 1 << 20, pending: pulling}, "provision", "--org", "550e8400-e29b-41d4-a716-446655440001", "--name", "Acme", "--wait", "1")
	if code != 6 || !strings.Contains(r.stderr.String(), "take it back with: berth deprovision ") {
		t.Errorf("exit %d, stderr %q", code, &r.stderr)
	}
}

func TestCtrlCEndsTheWaitAndSaysThatTheOrderStands(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	api := &slow{polls: 1 << 20, pending: pulling, onPoll: interrupt}
	r := run{t: t, ctx: ctx, terminal: true}
	code := r.berth(api, "deploy", "acme")
	if want := "the order stands; follow it with: berth deployments acme; take it back with: berth cancel acme --deployment d1\n"; code != 1 || !strings.HasSuffix(r.stderr.String(), want) {
		t.Errorf("exit %d, stderr %q; want 1, %q", code, &r.stderr, want)
	}
	wantOneOrder(t, api.orders, "wait=0")
}

func TestCtrlCWithoutATerminalSaysSoToo(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r := run{t: t, ctx: ctx}
	code := r.berth(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // or the server would not see the client leave
		interrupt()
		<-req.Context().Done()
	}), "stop", "acme")
	if code != 1 || !strings.Contains(r.stderr.String(), "if the order was taken, it stands") {
		t.Errorf("exit %d, stderr %q", code, &r.stderr)
	}
}

func TestCtrlCAtAQuestionRemovesNothing(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	stdin, typing := io.Pipe()
	defer func() { _ = typing.Close() }()
	r := run{t: t, ctx: ctx, terminal: true, stdin: stdin}
	interrupt()
	code := r.berth(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		t.Errorf("%s %s was asked for", req.Method, req.URL)
	}), "deprovision", "acme")
	if code != 4 || !strings.Contains(r.stderr.String(), "nothing was removed") {
		t.Errorf("exit %d, stderr %q", code, &r.stderr)
	}
}

// backup is an API whose copy is sent up to cut, under the checksum of told.
func backup(sent, told []byte, cut int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sum := sha256.Sum256(told)
		w.Header().Set("Digest", "sha-256="+base64.StdEncoding.EncodeToString(sum[:]))
		w.Header().Set("Content-Length", fmt.Sprint(len(sent)))
		_, _ = w.Write(sent[:cut])
	})
}

func TestABackupAppearsWhole(t *testing.T) {
	data := bytes.Repeat([]byte("sqlite"), 100_000)
	path := filepath.Join(t.TempDir(), "berth.db")
	r := run{t: t}
	if code := r.berth(backup(data, data, len(data)), "backup", path); code != 0 {
		t.Fatalf("exit %d: %s", code, &r.stderr)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v; want the %d that were sent", len(got), err, len(data))
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info, err)
	}
	again := run{t: t}
	if code := again.berth(backup(data, data, len(data)), "backup", path); code != 1 || !strings.Contains(again.stderr.String(), "exists") {
		t.Errorf("over a file: exit %d, %q", code, &again.stderr)
	}
}

func TestABackupThatIsNotWholeLeavesNothing(t *testing.T) {
	data := bytes.Repeat([]byte("sqlite"), 100_000)
	for name, api := range map[string]http.Handler{
		"cut short":            backup(data, data, len(data)/2),
		"nothing but a header": backup(data, data, 0),
		"other bytes":          backup(bytes.Repeat([]byte("SQLITE"), 100_000), data, len(data)),
		"without a checksum": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "sqlite")
		}),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := run{t: t}
			if code := r.berth(api, "backup", filepath.Join(dir, "berth.db")); code != 1 || r.stderr.Len() == 0 || r.stdout.Len() != 0 {
				t.Errorf("exit %d, stdout %q, stderr %q", code, &r.stdout, &r.stderr)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
