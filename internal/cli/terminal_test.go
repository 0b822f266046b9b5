package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// evil retitles the window, clears the screen, goes back over a line, and more,
// in 7 bits and in 8.
const evil = "\x1b]0;owned\x07\x1b[2Jred \x1b[31m\rover\x7f\u009b2J\u202e\x00 ünd\n"

func TestControlSequencesAreShownAndNotPassedOn(t *testing.T) {
	var out bytes.Buffer
	h := &harmless{to: &out}
	for i := range len(evil) { // whatever the pieces
		if n, err := h.Write([]byte(evil[i : i+1])); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := "␛]0;owned␇␛[2Jred ␛[31m␍over␡\ufffd2J\ufffd␀ ünd\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// Whatever a command prints of what others wrote: on a terminal it steers nothing.
func TestNoCommandPassesControlSequencesOnToATerminal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/logs"), strings.HasSuffix(r.URL.Path, "/compose"), r.URL.Query().Get("format") == "jsonl":
			_, _ = io.WriteString(w, evil)
		case strings.HasPrefix(r.URL.Path, "/api/tenants/refused"):
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"code":"x","error":"\u001b[2Jno\u009b","hint":"\u001b[31m"}`)
		default:
			_, _ = io.WriteString(w, `{"source":"a: \u001b[2J\u009b\n","events":[{"id":"1","kind":"drift","message":"\u001b[2J\u009b"}],"tenants":[{"tenantName":"\u001b[2J\u009b","slug":"\u001b[2J"}],"entries":[{"action":"\u001b[2J\u009b"}]}`)
		}
	}))
	defer server.Close()
	for _, args := range [][]string{
		{"logs", "x"}, {"logs", "x", "-f"}, {"compose", "x"}, {"blueprint", "show", "x"}, {"events"}, {"events", "-o", "json"}, {"ls"}, {"ls", "-o", "json"},
		{"audit", "ls"}, {"audit", "export"}, {"get", "x"}, {"status", "refused"},
	} {
		got := printedOn(t, server.URL, args...)
		if strings.ContainsAny(got, "\x1b\u009b\x07") || got == "" {
			t.Errorf("berth %v: %q", args, got)
		}
	}
	if got := printedOn(t, server.URL, "logs", "x", "--raw"); !strings.Contains(got, "\x1b[2J") {
		t.Errorf("--raw: %q", got)
	}
}

// printedOn is what a command writes to a terminal.
func printedOn(t *testing.T, url string, args ...string) string {
	t.Helper()
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = master.Close() }()
	read := make(chan string)
	go func() {
		data, _ := io.ReadAll(master) // ends with an error once the terminal is closed
		read <- string(data)
	}()
	Main(t.Context(), Env{Args: args, Stdin: strings.NewReader(""), Stdout: terminal, Stderr: terminal, Getenv: func(name string) string {
		return map[string]string{"BERTH_URL": url, "BERTH_TOKEN": "berth_x"}[name]
	}})
	_ = terminal.Close()
	return <-read
}
