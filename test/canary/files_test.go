package canary_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/container"
	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

const filed = `name: filed
services:
  web:
    image: %s
    user: "65532:65532"
    ports: ["3000"]
    secrets: [api.key]
secrets: {api.key: {environment: API_KEY}}
`

// secretFile has a secret delivered as a file. Nothing that the Engine tells, and
// nothing on its disk, holds it, and it is there again after the process died.
func (w *world) secretFile() {
	w.Helper()
	engine, err := testbed.Engine()
	w.Must(err)
	defer func() { w.Must(engine.Close()) }()
	_, err = w.api.ApplyBlueprint(w.Ctx, fmt.Appendf(nil, filed, rig.ImageOne))
	w.Must(err)
	_, err = w.api.Provision(w.Ctx, client.Provision{OrganizationID: w.filed, TenantName: "Filed", Blueprint: "filed", Start: true,
		Environment: map[string]string{"API_KEY": w.birds["file"]}}, testbed.Patient())
	w.Must(err)
	first := w.readsFile(engine)
	if policy := first.HostConfig.RestartPolicy.Name; policy != container.RestartPolicyDisabled {
		w.Errorf("the Engine would start it without its secrets: %s", policy)
	}
	_, err = engine.ContainerKill(w.Ctx, first.ID, dockerclient.ContainerKillOptions{})
	w.Must(err)
	w.Eventually(30*time.Second, "it is started again", func() bool {
		now, err := engine.ContainerInspect(w.Ctx, first.ID, dockerclient.ContainerInspectOptions{})
		return err == nil && now.Container.State.Running && now.Container.State.Pid != first.State.Pid
	})
	w.readsFile(engine)
	mine := testbed.OfTenant(w.filed)
	list, err := engine.ContainerList(w.Ctx, dockerclient.ContainerListOptions{All: true, Filters: mine})
	w.Must(err)
	volumes, err := engine.VolumeList(w.Ctx, dockerclient.VolumeListOptions{Filters: mine})
	w.Must(err)
	w.search("the Engine's lists", fmt.Appendf(nil, "%+v %+v", list, volumes))
	info, err := engine.Info(w.Ctx, dockerclient.InfoOptions{})
	w.Must(err)
	for _, name := range []string{first.LogPath, filepath.Join(info.Info.DockerRootDir, "containers", first.ID)} {
		_ = filepath.WalkDir(name, func(path string, d os.DirEntry, err error) error { // rotated meanwhile
			if data, readErr := os.ReadFile(path); err == nil && readErr == nil {
				w.search("the Engine's "+path, data)
			}
			return nil
		})
	}
}

// readsFile checks what the tenant's process finds, and that the Engine does not
// tell it.
func (w *world) readsFile(engine *dockerclient.Client) container.InspectResponse {
	w.Helper()
	seen, err := engine.ContainerInspect(w.Ctx, berth.ContainerName(w.filed), dockerclient.ContainerInspectOptions{})
	w.Must(err)
	root := fmt.Sprintf("/proc/%d/root", seen.Container.State.Pid)
	name := root + berth.SecretsDir + "/api.key"
	data, err := os.ReadFile(name)
	if err != nil || string(data) != w.birds["file"] {
		w.Errorf("the file holds %q, %v", data, err)
	}
	info, err := os.Stat(name)
	w.Must(err)
	var fs syscall.Statfs_t
	w.Must(syscall.Statfs(name, &fs))
	const tmpfs = 0x01021994
	if owner := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != 0o400 || owner.Uid != 65532 || owner.Gid != 65532 || fs.Type != tmpfs {
		w.Errorf("mode %v, owner %d:%d, file system %#x", info.Mode(), owner.Uid, owner.Gid, fs.Type)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", seen.Container.State.Pid))
	w.Must(err)
	w.search("the tenant's environment", environ)
	data, err = json.Marshal(seen.Container)
	w.Must(err)
	w.search("inspect, environment and all", data)
	if !strings.Contains(string(data), berth.SecretsDir) {
		w.Error("that is not the container")
	}
	return seen.Container
}
