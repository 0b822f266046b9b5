package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/unite-hub/berth/internal/serve"
)

func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){"berth": berthMain})
}

// leakless fails a run that leaves goroutines behind.
type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// berthMain is the program that scripts run. Its serve prints what it was
// configured with.
func berthMain() {
	os.Exit(Main(context.Background(), Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
		Terminal: os.Getenv("TERMINAL") != "",
		Serve: func(_ context.Context, c serve.Config, stdout, _ io.Writer) error {
			if c.Engine == "broken" {
				return errors.New("no such engine")
			}
			return json.NewEncoder(stdout).Encode(c)
		},
	}))
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			server := httptest.NewServer(&scriptedAPI{dir: env.WorkDir})
			env.Defer(server.Close)
			env.Setenv("BERTH_URL", server.URL)
			env.Setenv("BERTH_TOKEN", "from-environment")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each call takes a second under -race
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a program that must end with an exact code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// scriptedAPI answers METHOD PATH with the script's file
// api/METHOD_path_with_underscores, or the same with .N for the Nth such
// request. Its first line is the status. What was asked for is added to the
// script's file requests.
type scriptedAPI struct {
	dir   string
	mu    sync.Mutex
	asked map[string]int
}

func (s *scriptedAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	name := r.Method + strings.ReplaceAll(r.URL.Path, "/", "_")
	n, err := s.note(r, name, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "api", fmt.Sprintf("%s.%d", name, n)))
	if err != nil {
		data, err = os.ReadFile(filepath.Join(s.dir, "api", name))
	}
	if err != nil {
		http.Error(w, "the script has no "+name, http.StatusTeapot)
		return
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	status, _ := strconv.Atoi(string(first))
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(rest)
}

func (s *scriptedAPI) note(r *http.Request, name string, body []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[name]++
	f, err := os.OpenFile(filepath.Join(s.dir, "requests"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	key := "no key"
	if r.Header.Get("Idempotency-Key") != "" {
		key = "keyed"
	}
	_, err = fmt.Fprintf(f, "%s %s %s, %s %s\n", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), key, body)
	return s.asked[name], errors.Join(err, f.Close())
}
