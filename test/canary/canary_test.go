package canary_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// world is a control plane with its secrets, and those who receive from it.
type world struct {
	cage
	process *testbed.Process
	api     *client.Client
	org     string
	filed   string // organization whose secret is a file
	backup  []byte
	token   client.CreatedToken
	channel client.Notification
	deploy  string // id of a deployment

	mu   sync.Mutex
	sent []byte // what receivers got: traces and webhooks
	mail testbed.Post
}

// receive keeps what is sent, headers and all.
func (w *world) receive(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(fmt.Appendf(w.sent, "\n%s %s %v\n", r.Method, r.URL, r.Header), body...)
}

func (w *world) received() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.sent)
}

func newWorld(t *testing.T) *world {
	w := &world{org: berth.NewID(), filed: berth.NewID(), cage: cage{Site: testbed.NewSite(t), birds: map[string]string{}}}
	for _, kind := range []string{"environment", "deployed", "registry", "smtp", "kms", "file", "database"} {
		w.birds[kind] = canary(kind)
	}
	receiver := httptest.NewServer(http.HandlerFunc(w.receive))
	t.Cleanup(receiver.Close)
	w.mail = testbed.Post{User: "berth", Password: w.birds["smtp"], Clear: true}
	w.Must(w.mail.Start())
	t.Cleanup(func() { w.Must(w.mail.Close()) })
	ports, err := testbed.FreePorts(10)
	w.Must(err)
	w.process = &testbed.Process{
		Binary: rig.Binary, StateDir: t.TempDir(), Ports: ports, Pool: testbed.NewPool(t).String(),
		Args: []string{"--log-level", "debug", "--notify-http", "--notify-allow", "127.0.0.0/8", "--smtp", fmt.Sprintf("127.0.0.1:%d", w.mail.Port), "--smtp-from", "berth@example.com", "--smtp-user", "berth", "--smtp-tls", "none"},
		Env:  []string{"BERTH_SMTP_PASSWORD=" + w.birds["smtp"], "BERTH_KMS_TOKEN=" + w.birds["kms"], "OTEL_EXPORTER_OTLP_ENDPOINT=" + receiver.URL, "OTEL_BSP_SCHEDULE_DELAY=200"},
	}
	w.api = w.Serve(w.process)
	t.Cleanup(w.end)
	w.birds["operator-token"] = w.process.Token
	w.channel, err = w.api.AddNotification(w.Ctx, "", receiver.URL+"/hook", nil)
	w.Must(err)
	w.birds["signing-secret"] = w.channel.Secret
	w.token, err = w.api.CreateToken(w.Ctx, client.NewToken{Name: "canary"})
	w.Must(err)
	w.birds["token"] = w.token.Text
	return w
}

func (w *world) end() {
	if !w.process.Running() {
		w.api = w.ServeAgain(w.process)
	}
	for _, org := range []string{w.org, w.filed} {
		_, err := w.api.Deprovision(w.Ctx, org, "delete", testbed.Patient())
		w.Must(err)
	}
	w.Must(w.process.Stop())
	if w.Failed() {
		w.Log(w.process.Log())
	}
}

// live does what people do, mistakes included.
func (w *world) live() {
	w.Helper()
	registry := testbed.Registry(w.T, "robot", w.birds["registry"])
	two, _ := registry.Push(w.T, "shop/app:2")
	host, _, _ := strings.Cut(two, "/")
	w.Cleanup(func() { w.Must(testbed.RemoveImage(w.Ctx, two)) })
	wait := testbed.Patient()
	_, err := w.api.Provision(w.Ctx, client.Provision{OrganizationID: w.org, TenantName: "Canary", ImageTag: rig.ImageOne, Start: true,
		Environment: map[string]string{"API_TOKEN": w.birds["environment"]}}, wait)
	w.Must(err)
	w.Must(w.api.PutRegistry(w.Ctx, host, "robot", w.birds["registry"]))
	next := w.birds["deployed"]
	_, err = w.api.Deploy(w.Ctx, w.org, client.Deploy{ImageTag: &two, Environment: map[string]*string{"DB_PASSWORD": &next}}, wait)
	w.Must(err)
	none := host + "/shop/none:1"
	if _, err = w.api.Deploy(w.Ctx, w.org, client.Deploy{ImageTag: &none}, wait); err == nil {
		w.Fatal("deployed an image that is not there")
	}
	w.search("an error", fmt.Appendf(nil, "%+v", err))
	_, err = w.api.Rollback(w.Ctx, w.org, client.Rollback{}, wait)
	w.Must(err)
	_, err = w.api.TestNotification(w.Ctx, w.channel.ID)
	w.Must(err)
	letters, err := w.api.AddEmailNotification(w.Ctx, "", "ops@example.com", nil)
	w.Must(err)
	_, err = w.api.TestNotification(w.Ctx, letters.ID)
	w.Must(err)
	list, err := w.api.Deployments(w.Ctx, w.org, "", 10)
	w.Must(err)
	w.deploy = list.Deployments[0].ID
	b, err := w.api.Backup(w.Ctx)
	w.Must(err)
	w.backup, err = io.ReadAll(b)
	w.Must(err)
	w.Must(b.Close())
	_, err = w.api.RotateKey(w.Ctx)
	w.Must(err)
	w.mistakes()
}

// mistakes put secrets where none belong; the answers must not repeat them.
func (w *world) mistakes() {
	w.Helper()
	bird := w.birds["environment"]
	quoted, err := json.Marshal(bird)
	w.Must(err)
	for _, body := range []string{
		`{"environment":{"API_TOKEN":` + string(quoted), // cut off
		`{"environment":{"1 bad name":` + string(quoted) + `}}`,
		`{"environment":{"API_TOKEN":[` + string(quoted) + `]}}`,
		`{"environment":{"API_TOKEN":` + string(quoted[:len(quoted)-1]) + `\u0000"}}`,
		`{"environment":{"API_TOKEN":` + string(quoted[:len(quoted)-1]) + strings.Repeat("x", 64<<10) + `"}}`,
	} {
		status, answer := w.ask("POST", "/api/tenants/"+w.org+"/deploy", body, w.process.Token)
		if status < 400 {
			w.Errorf("taken: %.80s", body)
		}
		w.search("the answer to a mistake", answer)
	}
	status, answer := w.ask("PUT", "/api/registries/127.0.0.1:1", `{"username":"","password":`+string(quoted)+`}`, w.process.Token)
	w.search(fmt.Sprint("the refusal of a credential, ", status), answer)
	for _, token := range []string{w.birds["token"] + "x", strings.ToLower(w.birds["token"]), bird} {
		if status, answer := w.ask("GET", "/api/tenants", "", token); status != http.StatusUnauthorized {
			w.Errorf("a wrong token: %d", status)
		} else {
			w.search("the refusal of a token", answer)
		}
	}
}

func (w *world) ask(method, path, body, token string) (int, []byte) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Ctx, 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, w.process.URL+path, strings.NewReader(body))
	w.Must(err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+strings.Map(func(c rune) rune {
		if c < ' ' {
			return -1
		}
		return c
	}, token))
	resp, err := http.DefaultClient.Do(r)
	w.Must(err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	w.Must(err)
	return resp.StatusCode, append(fmt.Appendf(nil, "%v\n", resp.Header), answer...)
}

func TestNoSecretComesOutAnywhere(t *testing.T) {
	w := newWorld(t)
	w.live()
	w.secretFile()
	w.everyRoute()
	w.everyCommand()
	w.search("the backup", w.backup)
	if !bytes.Contains(w.backup, []byte(w.org)) {
		t.Error("the backup is none")
	}
	w.theEngine()
	deadline := time.Now().Add(20 * time.Second)
	for !bytes.Contains(w.received(), []byte("/hook")) || !bytes.Contains(w.received(), []byte("/v1/traces")) || len(w.mail.Messages()) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("received %d bytes and %d letters only", len(w.received()), len(w.mail.Messages()))
		}
		<-time.After(50 * time.Millisecond)
	}
	w.search("what traces and webhooks carry", w.received())
	for _, l := range w.mail.Messages() {
		w.search("a letter", l.Text)
	}
	w.files(w.process.StateDir, func(name string) []string {
		if name == "operator-token" {
			return []string{"operator-token"}
		}
		return nil
	})
	w.dump()
	w.search("the log", []byte(w.process.Log()))
	w.files(w.process.StateDir, func(name string) []string {
		if name == "operator-token" {
			return []string{"operator-token"}
		}
		return nil
	})
	t.Logf("searched %d places, %d bytes, for %d secrets", w.places, w.searched, len(w.birds))
}

// everyRoute asks every GET route of the description, so that a new one can't
// be forgotten.
func (w *world) everyRoute() {
	w.Helper()
	data, err := w.api.OpenAPI(w.Ctx)
	w.Must(err)
	w.search("the description", data)
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	w.Must(json.Unmarshal(data, &doc))
	known := strings.NewReplacer("{organizationId}", w.org, "{deploymentId}", w.deploy, "{notificationId}", w.channel.ID, "{name}", berth.BuiltinBlueprint)
	asked := 0
	for path, methods := range doc.Paths {
		if methods["get"] == nil {
			continue
		}
		full := known.Replace(path)
		if strings.Contains(full, "{") {
			w.Errorf("%s has a part that this test has no value for", path)
			continue
		}
		status, answer := w.ask("GET", full, "", w.process.Token)
		want := http.StatusOK
		switch path { // of people who sign in, whom this world has none of
		case "/api/sessions":
			want = http.StatusForbidden
		case "/auth/oidc/login":
			want = http.StatusNotFound
		case "/auth/oidc/callback":
			want = http.StatusUnauthorized
		}
		if status != want {
			w.Errorf("%s: %d %s", full, status, answer)
		}
		w.search("GET "+path, answer)
		asked++
	}
	if asked < 20 {
		w.Errorf("asked %d routes only", asked)
	}
}

// everyCommand runs what the command line shows, as a table and as JSON.
func (w *world) everyCommand() {
	w.Helper()
	for _, line := range []string{
		"ls", "status ORG", "health ORG", "health-check", "usage ORG", "deployments ORG", "logs ORG", "compose ORG", "events", "events ORG", "volumes",
		"token ls", "user ls", "organization ls", "audit ls", "audit verify", "migrate --status", "registry ls", "notify ls", "key ls", "blueprint ls", "blueprint show builtin", "doctor", "openapi", "version", "status nobody", "serve --help",
	} {
		args := strings.Fields(strings.ReplaceAll(line, "ORG", w.org))
		for _, more := range [][]string{nil, {"-o", "json"}} {
			cmd := w.process.Command(w.Ctx, append(args, more...)...)
			cmd.Env = append(cmd.Env, "BERTH_SMTP_PASSWORD="+w.birds["smtp"], "BERTH_KMS_TOKEN="+w.birds["kms"],
				"BERTH_DATABASE_URL=postgres://berth:"+url.QueryEscape(w.birds["database"])+"@127.0.0.1:1/berth?connect_timeout=1", "BERTH_STATE_DIR="+w.process.StateDir)
			out, err := cmd.CombinedOutput()
			if err != nil && !strings.Contains(line, "nobody") && line != "doctor" && line != "migrate --status" {
				w.Errorf("berth %s: %v %s", line, err, out)
			}
			w.search("berth "+line, out)
		}
	}
}

// theEngine searches what the Engine tells of a tenant's objects, but for the
// environment, in which the secrets are delivered.
func (w *world) theEngine() {
	w.Helper()
	engine, err := testbed.Engine()
	w.Must(err)
	defer func() { w.Must(engine.Close()) }()
	mine := testbed.OfTenant(w.org)
	list, err := engine.ContainerList(w.Ctx, dockerclient.ContainerListOptions{All: true, Filters: mine})
	w.Must(err)
	if len(list.Items) == 0 {
		w.Error("no containers")
	}
	for _, c := range list.Items {
		seen, err := engine.ContainerInspect(w.Ctx, c.ID, dockerclient.ContainerInspectOptions{})
		w.Must(err)
		if !strings.Contains(fmt.Sprint(seen.Container.Config.Env), w.birds["environment"]) {
			w.Errorf("%s was not given its secret", c.Names)
		}
		seen.Container.Config.Env = nil
		data, err := json.Marshal(seen.Container)
		w.Must(err)
		w.search("inspect", data)
	}
	volumes, err := engine.VolumeList(w.Ctx, dockerclient.VolumeListOptions{Filters: mine})
	w.Must(err)
	networks, err := engine.NetworkList(w.Ctx, dockerclient.NetworkListOptions{Filters: mine})
	w.Must(err)
	w.search("volumes and networks", fmt.Appendf(nil, "%+v %+v %+v", list, volumes, networks))
}

// dump has the process tell what all its goroutines do, as a crash does, while
// secrets are being worked with.
func (w *world) dump() {
	w.Helper()
	pid := w.process.Pid()
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	w.Must(err)
	if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0 bytes") {
		w.Errorf("core files may be written:\n%s", limits)
	}
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for range 4 {
		busy.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				value := w.birds["environment"]
				_, _ = w.api.Configure(w.Ctx, w.org, client.Configure{Environment: map[string]*string{"API_TOKEN": &value}}, client.Call{}) // it dies meanwhile
				_ = w.api.PutRegistry(w.Ctx, "127.0.0.1:1", "robot", w.birds["registry"])
			}
		})
	}
	<-time.After(300 * time.Millisecond)
	w.Must(syscall.Kill(pid, syscall.SIGABRT))
	_ = w.process.Wait() // exit code 2
	close(stop)
	busy.Wait()
	log := w.process.Log()
	if !strings.Contains(log, "SIGABRT") || strings.Count(log, "goroutine ") < 10 {
		w.Errorf("that is no dump:\n%s", log)
	}
	cores, err := filepath.Glob("core*")
	if err != nil || len(cores) > 0 {
		w.Errorf("core files: %v, %v", cores, err)
	}
}
