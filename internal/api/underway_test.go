package api_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// endless are logs that say one line and then wait for their reader to go.
type endless struct{ open atomic.Int64 }

func (e *endless) Logs(ctx context.Context, _ string, _ berth.LogOptions) (io.ReadCloser, error) {
	r, w := io.Pipe()
	e.open.Add(1)
	go func() {
		defer e.open.Add(-1)
		_, _ = io.WriteString(w, "hello\n")
		<-ctx.Done()
		_ = w.Close()
	}()
	return r, nil
}

// streaming is a world over real HTTP whose tenant "one" has endless logs.
type streaming struct {
	*tableWorld
	logs *endless
}

func newStreaming(t *testing.T, change func(*api.Config)) *streaming {
	t.Helper()
	s := &streaming{logs: &endless{}}
	s.tableWorld = newTableWorldWith(t, func(_ *auth.Config, c *api.Config) { change(c) })
	s.restart(func(_ *tenancy.Config, p *tenancy.Parts) { p.Logs = s.logs })
	return s
}

// begin sends a request with what tells who asks, and returns its answer as it
// begins.
func (s *streaming) begin(method, path string, header ...string) *http.Response {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	s.must(err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	s.must(err)
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func (s *streaming) follow(token, org string) *http.Response {
	return s.begin("GET", "/api/tenants/"+org+"/logs?follow=true", "Authorization", "Bearer "+token)
}

func (s *streaming) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("not in time: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (s *streaming) wantTooMany(resp *http.Response, status int, message string) {
	s.t.Helper()
	data, err := io.ReadAll(resp.Body)
	s.must(err)
	p := s.wantProblem(answer{resp.StatusCode, resp.Header, string(data)}, status, message)
	if resp.Header.Get("Retry-After") == "" || p["code"] != "rate_limited" || !strings.Contains(fmt.Sprint(p["error"]), message) {
		s.t.Errorf("%v %s", resp.Header, data)
	}
}

// session begins a session of a user and returns its text.
func (s *streaming) session(user string) string {
	s.t.Helper()
	body := strings.Repeat("A", 43)
	text := "berth_ses_" + body + base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body))))
	sum, at := sha256.Sum256([]byte(text)), moment()
	s.put(func(tx store.Tx) error {
		return tx.InsertSession(s.t.Context(), berth.Session{
			ID: berth.NewID(), Hash: sum[:], UserID: user, CreatedAt: at, LastSeenAt: at, ExpiresAt: at.Add(time.Hour),
		})
	})
	return text
}

func TestStreamsAreCountedWhileTheyRun(t *testing.T) {
	t.Parallel()
	s := newStreaming(t, func(c *api.Config) {
		c.UnderWay.Streams = api.Share{Actor: 2, Organization: 3, All: 8}
	})
	member, deployer := s.tokens["member"], s.tokenFor(berth.RoleMember, one)
	first := s.follow(member, one)
	s.follow(member, one)
	s.wantTooMany(s.follow(member, one), 429, "You have 2 streams under way already")
	s.follow(deployer, one)
	s.wantTooMany(s.follow(deployer, one), 429, "Your organization has 3 streams under way already")
	another := s.follow(s.tokenFor(berth.RoleMember, two), two) // of another organization
	s.follow(s.tokenFor(berth.RoleMember, two), two)
	s.wantTooMany(s.follow(s.tokenFor(berth.RoleMember, two), two), 429, "Your organization has 2 streams under way already, and the rest is for others")
	ours := s.follow(s.tokens["our deployer"], one)
	s.wantTooMany(s.follow(s.tokens["our deployer"], one), 503, "Berth has too many streams under way (6)")
	s.follow(s.tokens["operator"], one) // a quarter is theirs
	s.follow(s.tokens["operator"], one)
	s.wantTooMany(s.follow(s.tokens["operator"], one), 503, "Berth has too many streams under way (8)")
	if a := s.as(member, "GET", "/api/tenants", ""); a.status != 200 {
		t.Errorf("what does not stream: %d %s", a.status, a.body)
	}
	for _, r := range []*http.Response{first, another, ours} { // or it would be another's share
		_ = r.Body.Close()
	}
	s.eventually("one has room again", func() bool { return s.follow(member, one).StatusCode == 200 })
}

// Every route of the table counts: none of them can be held in any number.
func TestEveryGuardedRouteIsCountedWhileItRuns(t *testing.T) {
	t.Parallel()
	s := newStreaming(t, func(c *api.Config) { c.UnderWay.Requests = api.Share{Actor: 1, Organization: 1} })
	all := operations(t)
	for _, who := range []string{"admin", "operator"} {
		if who == "operator" { // of whom half of all is one's share
			s.handler = s.again(func(c *api.Config) { c.UnderWay.Requests = api.Share{Actor: 1, All: 2} })
		}
		held := s.follow(s.tokens[who], one)
		for _, id := range rowOrder {
			if a := s.call(who, all[id], rows[id], one, nowhere); a.status != 429 && a.status != 503 {
				t.Errorf("%s as %s beside another request: %d %s", id, who, a.status, a.body)
			}
		}
		_ = held.Body.Close()
	}
}

func TestAStreamEndsOnceItsReaderMayNotReadAnyMore(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *streaming, sessionOf string) error{
		"the token is revoked": func(s *streaming, _ string) error {
			list, _, err := s.auth.Tokens(s.t.Context(), berth.System(), one, store.Page{Limit: 100})
			for _, tok := range list {
				if err == nil && tok.Name == "watched" {
					err = s.auth.Revoke(s.t.Context(), berth.System(), tok.ID)
				}
			}
			return err
		},
		"the user is disabled": func(s *streaming, _ string) error {
			yes := true
			_, err := s.auth.UpdateUser(s.t.Context(), berth.System(), ada, auth.UserChange{Disabled: &yes})
			return err
		},
		"the role is taken": func(s *streaming, _ string) error {
			return s.auth.RemoveMember(s.t.Context(), berth.System(), ada, one)
		},
		"the role is another": func(s *streaming, _ string) error {
			_, err := s.auth.PutMember(s.t.Context(), berth.System(), berth.Membership{UserID: ada, OrganizationID: one, Role: berth.RoleDeployer})
			return err
		},
		"the session is ended": func(s *streaming, cookie string) error {
			s.want(s.ask("DELETE", "/api/sessions/current", "", "Authorization", "", "Cookie", cookie), 204, "sign out")
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreaming(t, func(c *api.Config) { c.Recheck = 20 * time.Millisecond })
			s.user(ada, "ada@example.com", false, map[string]berth.Role{one: berth.RoleMember})
			cookie := session + "=" + s.session(ada)
			resp := s.begin("GET", "/api/tenants/"+one+"/logs?follow=true", "Cookie", cookie)
			if strings.Contains(name, "token") {
				text, _, err := s.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "watched", Role: berth.RoleMember, OrganizationID: one})
				s.must(err)
				_ = resp.Body.Close()
				resp = s.follow(text, one)
			}
			other := s.follow(s.tokens["member"], one)
			lines := bufio.NewReader(resp.Body)
			if line, err := lines.ReadString('\n'); line != "hello\n" || err != nil {
				t.Fatalf("%q %v", line, err)
			}
			s.must(end(s, cookie))
			if rest, err := io.ReadAll(lines); len(rest) != 0 || err != nil {
				t.Errorf("%q %v", rest, err)
			}
			s.eventually("only the other stream runs", func() bool { return s.logs.open.Load() == 1 })
			if _, err := bufio.NewReader(other.Body).ReadString('\n'); err != nil {
				t.Errorf("another's stream: %v", err)
			}
		})
	}
}

// A reader who takes nothing must not keep what it may not have.
func TestAStreamThatIsNotReadEndsToo(t *testing.T) {
	t.Parallel()
	s := newStreaming(t, func(c *api.Config) { c.Recheck = 20 * time.Millisecond })
	s.restart(func(_ *tenancy.Config, p *tenancy.Parts) { p.Logs = flood{&s.logs.open} })
	text, tok, err := s.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "watched", Role: berth.RoleMember, OrganizationID: one})
	s.must(err)
	s.follow(text, one)
	s.must(s.auth.Revoke(t.Context(), berth.System(), tok.ID))
	s.eventually("it ends", func() bool { return s.logs.open.Load() == 0 })
}

// flood are logs without end.
type flood struct{ open *atomic.Int64 }

func (f flood) Logs(context.Context, string, berth.LogOptions) (io.ReadCloser, error) {
	f.open.Add(1)
	return &flooding{f.open}, nil
}

type flooding struct{ open *atomic.Int64 }

func (f *flooding) Read(p []byte) (int, error) { return len(p), nil }
func (f *flooding) Close() error               { f.open.Add(-1); return nil }

func TestAWaitEndsOnceWhoWaitsMayNotAskAnyMore(t *testing.T) {
	t.Parallel()
	s := newStreaming(t, func(c *api.Config) { c.Recheck = 20 * time.Millisecond })
	w := &waiting{Loop: s.parts.Loop, begun: make(chan struct{}, 1)}
	s.restart(func(_ *tenancy.Config, p *tenancy.Parts) { p.Loop = w })
	text, tok, err := s.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "watched"})
	s.must(err)
	answered := make(chan answer, 1)
	go func() { answered <- s.as(text, "POST", "/api/tenants/"+one+"/restart?wait=600", "") }()
	<-w.begun
	s.must(s.auth.Revoke(t.Context(), berth.System(), tok.ID))
	s.wantProblem(<-answered, 401, "the answer to one whose token is revoked")
}

// waiting is a loop in which nothing is ever over.
type waiting struct {
	tenancy.Loop
	begun chan struct{}
}

func (w *waiting) Await(ctx context.Context, _ string) error {
	w.begun <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}
