package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// On a real pseudo-terminal, which shows nothing of what is typed, and is
// given back as it was.
func TestARegistrysPasswordIsNotShownOnATerminal(t *testing.T) {
	for typed, c := range map[string]struct {
		code int
		body string // of the request
	}{
		"s3cretX\x7f pass\r": {exitOK, `{"username":"acme","password":"s3cret pass"}`},
		"s3cr\x03":           {exitUsage, ""}, // Ctrl-C
		"\r":                 {exitUsage, ""},
	} {
		master, terminal, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		state := func() (s *term.State) {
			_ = control(terminal, func(fd int) (err error) { s, err = term.GetState(fd); return err })
			return s
		}
		before := fmt.Sprintf("%+v", *state())
		shown := make(chan string, 1)
		go func() { // types when it is asked, and keeps what the terminal shows
			var all strings.Builder
			buf := make([]byte, 4096)
			for answered := false; ; {
				n, err := master.Read(buf)
				all.Write(buf[:n])
				if !answered && strings.Contains(all.String(), "Password: ") {
					answered = true
					_, _ = master.Write([]byte(typed))
				}
				if err != nil || strings.Contains(all.String(), "over") {
					shown <- all.String()
					return
				}
			}
		}()
		got := ""
		api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			got = string(data)
			w.WriteHeader(http.StatusNoContent)
		})
		env := onTerminal(t, api, terminal, "registry", "login", "ghcr.io", "-u", "acme")
		env.Stderr = terminal
		code := Main(t.Context(), env)
		_, _ = io.WriteString(terminal, "over")
		select {
		case out := <-shown:
			if strings.Contains(out, "s3") || strings.Contains(out, "pass\r") {
				t.Errorf("%q shows %q", typed, out)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was asked")
		}
		if code != c.code || strings.TrimSpace(got) != c.body {
			t.Errorf("%q: exit %d, sent %q", typed, code, got)
		}
		if after := fmt.Sprintf("%+v", *state()); after != before {
			t.Errorf("%q: the terminal was %s and is %s", typed, before, after)
		}
		_ = master.Close()
		_ = terminal.Close()
	}
}

func TestAPasswordFromATerminalIsNotReadAsOneFromAPipe(t *testing.T) {
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	env := onTerminal(t, http.NotFoundHandler(), terminal, "registry", "login", "ghcr.io", "-u", "acme", "--password-stdin")
	env.Stderr = &said
	if code := Main(t.Context(), env); code != exitUsage || !strings.Contains(said.String(), "standard input is a terminal") {
		t.Errorf("exit %d, %s", code, said.String())
	}
	_ = master.Close()
	_ = terminal.Close()
}
