// Package tenantimage_test runs docker/tenant/entrypoint.sh in containers that
// are walled in as a tenant's: it must refuse what it can't run safely, and
// get out of the way of what it can.
package tenantimage_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

const (
	image = "berth-base-node:bookworm"
	id    = "0190a0b0-1111-7222-8333-444455556666"
	other = "0190a0b0-1111-7222-8333-444455556667"
)

var script string // the entry point on the host

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run makes the base image, which stays: the script leaves alone what is up to
// date.
func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	root, err := testbed.ModuleRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(root, "scripts/baseimage.sh"), image, "nodejs").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "scripts/baseimage.sh: %v\n%s", err, out)
		return 1
	}
	script = filepath.Join(root, "docker/tenant/entrypoint.sh")
	return m.Run()
}

// start is how a container is started. The zero value has 256 MB, a server.js
// that prints what it sees, and no identity.
type start struct {
	env      []string
	file     string // of /etc/tenant_id; none if empty
	dir      bool   // /etc/tenant_id is a directory
	args     []string
	memory   int64 // in MB; -1 for no limit
	noServer bool
	server   string // instead of the one that prints
}

const printing = `console.log(JSON.stringify({pid: process.pid, argv: process.argv.slice(1), env: process.env}))`

// create makes and starts a container that goes with the test.
func create(t *testbed.Site, s start) string {
	t.Helper()
	dir := t.TempDir()
	bind := func(name, text, target string) mount.Mount {
		path := filepath.Join(dir, name)
		t.Must(os.WriteFile(path, []byte(text), 0o644))
		return mount.Mount{Type: mount.TypeBind, Source: path, Target: target, ReadOnly: true}
	}
	mounts := []mount.Mount{{Type: mount.TypeBind, Source: script, Target: "/entrypoint.sh", ReadOnly: true}}
	if s.server == "" {
		s.server = printing
	}
	if !s.noServer {
		mounts = append(mounts, bind("server.js", s.server, "/app/server.js"))
	}
	if s.file != "" {
		mounts = append(mounts, bind("tenant_id", s.file, "/etc/tenant_id"))
	}
	if s.dir {
		mounts = append(mounts, mount.Mount{Type: mount.TypeBind, Source: t.TempDir(), Target: "/etc/tenant_id", ReadOnly: true})
	}
	memory := s.memory
	if memory == 0 {
		memory = 256
	}
	memory = max(memory, 0) << 20
	made, err := t.Engine.ContainerCreate(t.Ctx, client.ContainerCreateOptions{
		Name:   "entrypoint-" + berth.NewID(),
		Config: &container.Config{Image: image, Entrypoint: []string{"/entrypoint.sh"}, Cmd: s.args, Env: s.env, User: "1001:1001", WorkingDir: "/app"},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"}, ReadonlyRootfs: true,
			Mounts: mounts, Resources: container.Resources{Memory: memory, MemorySwap: memory},
		},
	})
	t.Must(err)
	t.Cleanup(func() { t.Drop(made.ID) })
	_, err = t.Engine.ContainerStart(t.Ctx, made.ID, client.ContainerStartOptions{})
	t.Must(err)
	return made.ID
}

// end waits until a container has ended; it returns exit code, stdout, stderr.
func end(s *testbed.Site, id string) (int64, string, string) {
	s.Helper()
	code := s.End(id)
	out, errs := s.Output(id)
	return code, out, errs
}

func TestItRefusesToStart(t *testing.T) {
	good := "TENANT_ID=" + id
	for name, c := range map[string]struct {
		start
		code int64
		want string // in its one line
	}{
		"without an identity":               {start{}, 64, "TENANT_ID is not set and there is no /etc/tenant_id"},
		"with an empty identity":            {start{env: []string{"TENANT_ID="}}, 64, "TENANT_ID is not set"},
		"with a word for an identity":       {start{env: []string{"TENANT_ID=acme"}}, 64, `TENANT_ID is "acme", want a UUID`},
		"with a digit too many":             {start{env: []string{good + "0"}}, 64, "want a UUID"},
		"with a digit that is none":         {start{env: []string{"TENANT_ID=g" + id[1:]}}, 64, "want a UUID"},
		"with hyphens elsewhere":            {start{env: []string{"TENANT_ID=0190a0b01-111-7222-8333-444455556666"}}, 64, "want a UUID"},
		"with hyphens for digits":           {start{env: []string{"TENANT_ID=0190a0b0-1111-7222-8333-44445555666-"}}, 64, "want a UUID"},
		"with white space before it":        {start{env: []string{"TENANT_ID= " + id}}, 64, `" ` + id + `"`},
		"with a second line":                {start{env: []string{good + "\nforged: line"}}, 64, id + "?forged: line"},
		"with a trailing newline":           {start{env: []string{good + "\n"}}, 64, id + `?"`},
		"with an escape sequence":           {start{env: []string{"TENANT_ID=\x1b[2J\r\x7f"}}, 64, `"?[2J??"`},
		"with a pattern":                    {start{env: []string{"TENANT_ID=$(id)*"}}, 64, `"$(id)*"`},
		"with a blank file":                 {start{file: "\n", env: []string{good}}, 64, `/etc/tenant_id is ""`},
		"with a malformed file":             {start{file: "acme\n", env: []string{good}}, 64, `/etc/tenant_id is "acme"`},
		"with white space first in a file":  {start{file: "\n" + id}, 64, `"?` + id + `"`},
		"with two ids in a file":            {start{file: id + "\n" + other + "\n"}, 64, "want a UUID"},
		"with a directory for a file":       {start{dir: true, env: []string{good}}, 64, "/etc/tenant_id is no file that uid 1001 can read"},
		"with a file of another tenant":     {start{file: other, env: []string{good}}, 64, `TENANT_ID is "` + id + `" and /etc/tenant_id says "` + other + `"`},
		"with a good file and a bad id":     {start{file: id, env: []string{"TENANT_ID=acme"}}, 64, `TENANT_ID is "acme"`},
		"on port 0":                         {start{env: []string{good, "PORT=0"}}, 65, `PORT is "0"`},
		"on port 65536":                     {start{env: []string{good, "PORT=65536"}}, 65, `PORT is "65536"`},
		"on a port of many digits":          {start{env: []string{good, "PORT=18446744073709551617"}}, 65, "PORT is"},
		"on a port with a leading zero":     {start{env: []string{good, "PORT=0300"}}, 65, `PORT is "0300"`},
		"on a port that is no number":       {start{env: []string{good, "PORT=-1"}}, 65, `PORT is "-1"`},
		"without what it requires":          {start{env: []string{good, "TENANT_REQUIRED_ENV=A,B C", "B=", "C=1"}}, 65, "not set or empty: A, B: set"},
		"without one named as its own":      {start{env: []string{good, "TENANT_REQUIRED_ENV=name file value"}}, 65, "empty: name, file, value:"},
		"with syntax in a name":             {start{env: []string{good, "TENANT_REQUIRED_ENV=A}$(id)"}}, 65, `"A}$(id)"`},
		"with a name that begins so":        {start{env: []string{good, "TENANT_REQUIRED_ENV=1A"}}, 65, `"1A"`},
		"without its program":               {start{env: []string{good}, noServer: true}, 66, `"server.js" can't be read in /app`},
		"without the program that is named": {start{env: []string{good, "TENANT_ENTRY=main.js"}}, 66, `"main.js"`},
		"in too little memory":              {start{env: []string{good}, memory: 100}, 71, "the memory limit is 100 MB, want at least 128 MB"},
		"under a floor of its own":          {start{env: []string{good, "TENANT_MIN_MEMORY_MB=300"}}, 71, "is 256 MB, want at least 300 MB"},
		"with a floor that is no number":    {start{env: []string{good, "TENANT_MIN_MEMORY_MB=1k"}}, 65, `TENANT_MIN_MEMORY_MB is "1k"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testbed.NewSite(t)
			code, out, errs := end(s, create(s, c.start))
			if code != c.code || out != "" || !strings.Contains(errs, c.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d and %q", code, out, errs, c.code, c.want)
			}
			if !strings.HasPrefix(errs, "entrypoint: refused: ") || strings.Count(errs, "\n") != 1 || strings.ContainsAny(errs, "\x1b\r\x7f") {
				t.Errorf("stderr %q is not one clean line", errs)
			}
		})
	}
}
