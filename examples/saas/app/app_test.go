package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeRecords keeps notes in memory. With err set, everything fails.
type fakeRecords struct {
	notes []note
	jobs  int
	err   error
}

func (f *fakeRecords) Ready(context.Context) error { return f.err }

func (f *fakeRecords) AddNote(_ context.Context, body string) (int64, error) {
	if f.err != nil {
		return 0, f.err
	}
	id := int64(len(f.notes) + 1)
	f.notes = append([]note{{ID: id, Body: body}}, f.notes...)
	return id, nil
}

func (f *fakeRecords) Notes(_ context.Context, limit int) (noteList, error) {
	return noteList{Notes: f.notes[:min(limit, len(f.notes))], Total: int64(len(f.notes))}, f.err
}

func (f *fakeRecords) AddJobs(_ context.Context, n, _ int) error {
	f.jobs += n
	return f.err
}

func (f *fakeRecords) Jobs(context.Context) (jobCounts, error) {
	return jobCounts{Pending: int64(f.jobs)}, f.err
}

func (f *fakeRecords) Stats(context.Context) (stats, error) {
	return stats{MigrationRuns: 1, DatabaseStarts: 2, LockRefusals: 3}, f.err
}

const hostile = `<script>alert("1")</script> & O'Brien`

// site is a web over fake records, with a directory for its files.
type site struct {
	*testing.T
	handler http.Handler
	records *fakeRecords
	dir     string
	log     *bytes.Buffer
}

func newTestSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, records: &fakeRecords{}, dir: t.TempDir(), log: &bytes.Buffer{}}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	c := config{TenantID: "550e8400", TenantName: hostile, DatabasePassword: "the-secret-one"}
	s.handler = newWeb(c, s.records, root, slog.New(slog.NewTextHandler(s.log, nil)))
	return s
}

func (s *site) ask(method, path, body string) (int, string) {
	s.Helper()
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, httptest.NewRequestWithContext(s.Context(), method, path, strings.NewReader(body)))
	return rec.Code, rec.Body.String()
}

func (s *site) want(method, path, body string, status int, contains string) {
	s.Helper()
	if got, said := s.ask(method, path, body); got != status || !strings.Contains(said, contains) {
		s.Errorf("%s %s: %d %s, want %d with %q", method, path, got, said, status, contains)
	}
}

func TestThePageShowsTheTenantsNameAsText(t *testing.T) {
	s := newTestSite(t)
	s.want("GET", "/", "", 200, "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; &amp; O&#39;Brien")
	if _, page := s.ask("GET", "/", ""); strings.Contains(page, "<script") {
		t.Errorf("the page runs the tenant's name: %s", page)
	}
	s.records.err = errors.New("away")
	s.want("GET", "/", "", 200, "can't be read")
}

func TestWhoamiGivesTheNameUnchanged(t *testing.T) {
	_, body := newTestSite(t).ask("GET", "/whoami", "")
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got["tenantName"] != hostile || got["tenantId"] != "550e8400" || got["version"] != "dev" {
		t.Errorf("whoami is %v", got)
	}
}

func TestHealthNamesWhatFails(t *testing.T) {
	s := newTestSite(t)
	s.want("GET", "/api/health", "", 200, `"status":"healthy"`)
	for _, c := range []struct {
		err  error
		want string
	}{
		{unwell{"schema", errors.New("is at version 1")}, `"failing":"schema"`},
		{fmt.Errorf("wrapped: %w", unwell{"database", errors.New("refused")}), `"failing":"database"`},
		{errors.New("anything else"), `"failing":"database"`},
	} {
		s.records.err = c.err
		s.want("GET", "/api/health", "", 503, c.want)
	}
}

func TestNotesAreKeptNewestFirst(t *testing.T) {
	s := newTestSite(t)
	s.want("GET", "/notes", "", 200, `"total":0`)
	s.want("POST", "/notes", "one", 201, `{"id":1}`)
	s.want("POST", "/notes", strings.Repeat("x", longestNote), 201, `{"id":2}`)
	s.want("GET", "/notes", "", 200, `"total":2`)
	s.want("POST", "/notes", strings.Repeat("x", longestNote+1), 413, "longer than 65536 bytes")
	s.want("POST", "/notes", "", 422, "not empty")
	s.want("POST", "/notes", "a\x00b", 422, "zero bytes")
	s.want("POST", "/notes", "\xff", 422, "UTF-8")
	if len(s.records.notes) != 2 || s.records.notes[1].Body != "one" {
		t.Errorf("%d notes are kept", len(s.records.notes))
	}
}

func TestJobsAreCountedAndBounded(t *testing.T) {
	s := newTestSite(t)
	s.want("POST", "/jobs", `{"n": 3}`, 201, `{"added":3}`)
	s.want("GET", "/jobs", "", 200, `{"pending":3,"done":0,"runs":0}`)
	s.want("POST", "/jobs", `{"n": 0}`, 422, "n is 1 to")
	s.want("POST", "/jobs", `{"n": 10001}`, 422, "n is 1 to")
	s.want("POST", "/jobs", `{"n": 1, "millis": -1}`, 422, "millis")
	s.want("POST", "/jobs", `{"n": 1, "millis": 30001}`, 422, "millis")
	s.want("POST", "/jobs", `n=1`, 400, "expected")
	s.want("GET", "/stats", "", 200, `{"migrationRuns":1,"databaseStarts":2,"lockRefusals":3}`)
}

func TestADatabaseThatIsAwayIsToldWithoutItsWords(t *testing.T) {
	s := newTestSite(t)
	s.records.err = errors.New("dial tcp 10.0.0.2: refused")
	for _, r := range [][2]string{{"POST", "/notes"}, {"GET", "/notes"}, {"GET", "/jobs"}, {"GET", "/stats"}} {
		s.want(r[0], r[1], "text", 503, "did not answer")
		if _, said := s.ask(r[0], r[1], "text"); strings.Contains(said, "10.0.0.2") {
			t.Errorf("%s %s tells the client: %s", r[0], r[1], said)
		}
	}
	s.want("POST", "/jobs", `{"n": 1}`, 503, "did not answer")
	if log := s.log.String(); !strings.Contains(log, "10.0.0.2") || strings.Contains(log, "the-secret-one") {
		t.Errorf("the log holds %s", log)
	}
}

func TestFilesStayInTheirVolume(t *testing.T) {
	s := newTestSite(t)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("not yours"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(s.dir, "link")); err != nil {
		t.Fatal(err)
	}
	s.want("POST", "/files/a.txt", "one", 201, `"size":3`)
	s.want("POST", "/files/a.txt", "two\x00", 201, `"size":4`)
	s.want("GET", "/files/a.txt", "", 200, "two\x00")
	s.want("GET", "/files/b.txt", "", 404, "no such file")
	s.want("GET", "/files/link", "", 500, "could not be read")
	for _, name := range []string{".hidden", "..", "..%2f..%2fetc%2fpasswd", "a%2fb", "%00", strings.Repeat("a", 101)} {
		if status, said := s.ask("POST", "/files/"+name, "x"); status < 300 || status >= 500 {
			t.Errorf("the name %q is taken: %d %s", name, status, said)
		}
	}
	s.want("POST", "/files/large", strings.Repeat("x", longestFile+1), 413, "longer than")
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the volume holds %v, want a.txt and the link", entries)
	}
}

func TestConfigNamesEverythingThatIsWrong(t *testing.T) {
	get := func(env map[string]string) func(string) string { return func(k string) string { return env[k] } }
	_, err := readConfig(get(map[string]string{"PORT": "70000", "DATABASE_PORT": "x"}))
	for _, want := range []string{"PORT is no port number", "DATABASE_PORT is no port number", "DATABASE_PASSWORD is required"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	c, err := readConfig(get(map[string]string{"DATABASE_PASSWORD": "p"}))
	if err != nil || c.Port != 3000 || c.DatabaseHost != "db" || c.DatabaseUser != "app" || c.Schema != len(migrations) {
		t.Errorf("defaults are %+v, %v", c, err)
	}
}

// A password may hold what a connection string would take for syntax, and no
// error may show it.
func TestThePasswordIsNoSyntaxAndIsNotShown(t *testing.T) {
	secret := `p@ss word' host=evil sslmode=require\`
	p, err := config{DatabaseHost: "127.0.0.1", DatabasePort: 1, DatabaseUser: "app", DatabaseName: "app", DatabasePassword: secret}.pool("web")
	if err != nil {
		t.Fatal(err)
	}
	if c := p.ConnConfig; c.Password != secret || c.Host != "127.0.0.1" || c.TLSConfig != nil {
		t.Errorf("the connection goes to %s with %q", c.Host, c.Password)
	}
	d, err := openDatabase(t.Context(), config{DatabaseHost: "127.0.0.1", DatabasePort: 1, DatabasePassword: secret}, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if err := d.Ready(t.Context()); err == nil || strings.Contains(err.Error(), "evil") {
		t.Errorf("without a database, Ready gives %v", err)
	} else if u, ok := errors.AsType[unwell](err); !ok || u.what != "database" {
		t.Errorf("Ready blames %v", err)
	}
}

func TestExitCodesTellWhatWentWrong(t *testing.T) {
	none := func(string) string { return "" }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/well" {
			http.Error(w, "unwell", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	for _, c := range []struct {
		args []string
		want int
	}{
		{nil, 2}, {[]string{"serve"}, 2}, {[]string{"web", "now"}, 2}, {[]string{"healthcheck"}, 2},
		{[]string{"web"}, 1}, {[]string{"worker"}, 1}, {[]string{"migrate"}, 3},
		{[]string{"healthcheck", server.URL + "/well"}, 0}, {[]string{"healthcheck", server.URL + "/sick"}, 1},
		{[]string{"healthcheck", "http://127.0.0.1:1/"}, 1}, {[]string{"healthcheck", ":"}, 1},
	} {
		if got := run(t.Context(), c.args, none); got != c.want {
			t.Errorf("saas %q ends with %d, want %d", c.args, got, c.want)
		}
	}
}

func TestWebEndsWhenItIsToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := config{FilesDir: t.TempDir(), DatabaseHost: "127.0.0.1", DatabasePort: 1}
	if err := serveWeb(ctx, c, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("serveWeb ends with %v", err)
	}
	c.FilesDir += "/absent"
	if err := serveWeb(t.Context(), c, slog.Default()); err == nil || !strings.Contains(err.Error(), "files' volume") {
		t.Errorf("without a volume, serveWeb ends with %v", err)
	}
}
