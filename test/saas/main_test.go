// Package saas_test runs the images of examples/saas on a real Engine by plain
// calls, without Berth: what they promise must be theirs.
package saas_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

const (
	appOne, appTwo = "berth-saas:1", "berth-saas:2"
	databaseImage  = "berth-saas-db:15"

	dataDir  = "/var/lib/postgresql/data"
	filesDir = "/data/files"

	deadline = time.Minute // for anything to come true
	password = `it's a "test" \ pässword`
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the images, which stay: building them anew takes long, and the
// script leaves alone what is up to date.
func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	root, err := testbed.ModuleRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(root, "examples/saas/build.sh")).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "examples/saas/build.sh: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// tenant is one copy of the product, with a network and volumes of its own.
type tenant struct {
	*testbed.Site
	name string // of the network, and what all other names begin with
	made []string
}

func newTenant(t *testing.T) *tenant {
	t.Helper()
	t.Parallel()
	pool := testbed.NewPool(t)
	tn := &tenant{Site: testbed.NewSite(t), name: "berth-test-saas-" + berth.NewID()}
	tn.Must(pool.Owns(tn.name))
	t.Cleanup(tn.remove)
	_, err := tn.Engine.NetworkCreate(tn.Ctx, tn.name, client.NetworkCreateOptions{
		Driver: "bridge",
		IPAM:   &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.PrefixFrom(pool.Addr(), 27)}}},
	})
	tn.Must(err)
	return tn
}

func (t *tenant) remove() {
	for _, name := range t.made {
		if t.Failed() {
			t.Logf("%s says:\n%s", name, t.logs(name))
		}
		t.drop(name)
	}
	_, err := t.Engine.NetworkRemove(t.Ctx, t.name, client.NetworkRemoveOptions{})
	errs := []error{err}
	for _, volume := range []string{"data", "files"} {
		_, err := t.Engine.VolumeRemove(t.Ctx, t.name+"-"+volume, client.VolumeRemoveOptions{Force: true})
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// service is one container, hardened as Berth does it.
type service struct {
	name       string // its name in the network too
	image      string
	entrypoint []string // nil: the image's
	command    []string
	env        []string
	user       string // "": the one that the blueprint names
}

func (t *tenant) database(env ...string) service {
	return service{name: "db", image: databaseImage, env: append([]string{"DATABASE_PASSWORD=" + password}, env...)}
}

func (t *tenant) app(image, command string, env ...string) service {
	return service{name: command, image: image, command: []string{command}, env: append([]string{
		"TENANT_ID=1", `TENANT_NAME=<b>"O'Brien" & Söhne</b>`, "PORT=3000", "DATABASE_PASSWORD=" + password,
	}, env...)}
}

// start makes a container and starts it. It returns its name.
func (t *tenant) start(s service) string {
	t.Helper()
	user, volume, target, signal := "65532:65532", "files", filesDir, "SIGTERM"
	if s.image == databaseImage {
		user, volume, target, signal = "999:999", "data", dataDir, "SIGINT"
	}
	if s.user != "" {
		user = s.user
	}
	yes, pids := true, int64(256)
	const memory = 340 << 20 // a third of the blueprint's tenant
	name := t.name + "-" + s.name
	_, err := t.Engine.ContainerCreate(t.Ctx, client.ContainerCreateOptions{
		Name:   name,
		Config: &container.Config{Image: s.image, Entrypoint: s.entrypoint, Cmd: s.command, Env: s.env, User: user, StopSignal: signal},
		HostConfig: &container.HostConfig{
			NetworkMode: container.NetworkMode(t.name), CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"},
			ReadonlyRootfs: true, Init: &yes, IpcMode: container.IPCModePrivate,
			Tmpfs: map[string]string{
				"/tmp":                "rw,noexec,nosuid,nodev,mode=1777,size=64m",
				"/var/run/postgresql": "rw,noexec,nosuid,nodev,mode=1777,size=64m",
			},
			Mounts:    []mount.Mount{{Type: mount.TypeVolume, Source: t.name + "-" + volume, Target: target}},
			Resources: container.Resources{PidsLimit: &pids, Memory: memory, MemorySwap: memory},
		},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{t.name: {Aliases: []string{s.name}}}},
	})
	t.Must(err)
	t.made = append(t.made, name)
	t.startAgain(name)
	return name
}

func (t *tenant) startAgain(name string) {
	t.Helper()
	_, err := t.Engine.ContainerStart(t.Ctx, name, client.ContainerStartOptions{})
	t.Must(err)
}

// stop stops a container as Berth would, and returns its exit code and how long
// it took.
func (t *tenant) stop(name string) (int64, time.Duration) {
	t.Helper()
	began, grace := time.Now(), 20
	_, err := t.Engine.ContainerStop(t.Ctx, name, client.ContainerStopOptions{Timeout: &grace})
	t.Must(err)
	return t.End(name), time.Since(began)
}

func (t *tenant) kill(name string) {
	t.Helper()
	_, err := t.Engine.ContainerKill(t.Ctx, name, client.ContainerKillOptions{Signal: "KILL"})
	t.Must(err)
	t.End(name)
}

// drop removes a container, running or not.
func (t *tenant) drop(name string) {
	t.Helper()
	t.Drop(name)
	for i, n := range t.made {
		if n == name {
			t.made = append(t.made[:i:i], t.made[i+1:]...)
		}
	}
}

func (t *tenant) logs(name string) string {
	stdout, stderr := t.Output(name)
	return stdout + stderr
}

// command runs a program in a container and returns its exit code and output.
func (t *tenant) command(name string, args ...string) (int, string) {
	t.Helper()
	made, err := t.Engine.ExecCreate(t.Ctx, name, client.ExecCreateOptions{Cmd: args, AttachStdout: true, AttachStderr: true})
	t.Must(err)
	attached, err := t.Engine.ExecAttach(t.Ctx, made.ID, client.ExecAttachOptions{})
	t.Must(err)
	defer attached.Close()
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &out, attached.Reader)
	t.Must(err)
	got, err := t.Engine.ExecInspect(t.Ctx, made.ID, client.ExecInspectOptions{})
	t.Must(err)
	return got.ExitCode, out.String()
}

// healthy waits until the blueprint's health command says that the database
// takes connections.
func (t *tenant) healthy(db string) {
	t.Helper()
	t.Eventually(deadline, "the database takes connections", func() bool {
		if got, err := t.Engine.ContainerInspect(t.Ctx, db, client.ContainerInspectOptions{}); err != nil || !got.Container.State.Running {
			t.Fatalf("the database ended: %v\n%s", err, t.logs(db))
		}
		code, _ := t.command(db, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "app", "-d", "app")
		return code == 0
	})
}

// migrate runs migrate to its end and returns its exit code and what it said.
func (t *tenant) migrate(image string, env ...string) (int64, string) {
	t.Helper()
	name := t.start(t.app(image, "migrate", env...))
	code := t.End(name)
	said := t.logs(name)
	t.drop(name)
	return code, said
}

// get asks the web, or fails the test.
func (t *tenant) get(path string, into any) {
	t.Helper()
	if status, body := t.ask(http.MethodGet, path, ""); status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, body)
	} else if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("GET %s: %v: %s", path, err, body)
	}
}

// post gives the web something, or fails the test.
func (t *tenant) post(path, body string) {
	t.Helper()
	if status, said := t.ask(http.MethodPost, path, body); status != http.StatusCreated {
		t.Fatalf("POST %s: %d %s", path, status, said)
	}
}

// ask calls the web by its address in the tenant's network. The status is 0 if
// there was no answer.
func (t *tenant) ask(method, path, body string) (int, string) {
	t.Helper()
	got, err := t.Engine.ContainerInspect(t.Ctx, t.name+"-web", client.ContainerInspectOptions{})
	t.Must(err)
	address := got.Container.NetworkSettings.Networks[t.name].IPAddress
	return t.Ask(method, fmt.Sprintf("http://%s:3000%s", address, path), body)
}

// serve starts a web and waits until it is well.
func (t *tenant) serve(image string) string {
	t.Helper()
	name := t.start(t.app(image, "web"))
	t.well()
	return name
}

func (t *tenant) well() {
	t.Helper()
	t.Eventually(deadline, "the web is healthy", func() bool {
		status, _ := t.ask(http.MethodGet, "/api/health", "")
		return status == http.StatusOK
	})
}
