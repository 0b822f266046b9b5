package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// Secrets that are files lie in a volume of the local driver's whose type is
// tmpfs: it is memory, mounted while any container that uses it runs, and empty
// at the next time. So each start goes like this:
//
//  1. A bearer is started: a container of the service's own image that runs
//     nothing but our program that waits. It keeps the volume mounted.
//  2. The files are written through it, if they are not there already.
//  3. The service's containers are started, and keep the volume mounted.
//  4. The bearer is removed.
//
// Whatever is cut off begins at 1 again. The Engine never starts such a service
// by itself, so none runs without its secrets; the loop does. A value never is
// in an image, a label, an environment or an argument, nor on a disk. (The
// kernel may swap a tmpfs: see docs/secrets.md.)

const (
	secretsOptions = "size=1m,mode=0555,nosuid,nodev,noexec"
	bearerMemory   = 16 * berth.BytesPerMB
)

// secretsVolume is the volume of one service's secrets, made from one spec: two
// generations never share one. No volume of a blueprint has a dot in its name.
func secretsVolume(s berth.Stack, spec instance) string {
	return berth.ContainerName(s.OrganizationID) + "_secrets." + spec.Service.Name + "." + spec.Hash
}

func bearerName(s berth.Stack, spec instance) string {
	return berth.ContainerName(s.OrganizationID) + "_bearer." + spec.Service.Name + "." + spec.Hash
}

// isSecrets reports whether an object of ours is one that delivers secrets.
func isSecrets(name string, labels map[string]string) bool {
	own := berth.ContainerName(labels[berth.LabelTenantID])
	return strings.HasPrefix(name, own+"_secrets.") || strings.HasPrefix(name, own+"_bearer.")
}

// secretsMount mounts the volume; the Engine makes it where it is absent.
func (e *Engine) secretsMount(s berth.Stack, spec instance, readOnly bool) mount.Mount {
	name := secretsVolume(s, spec)
	labels := e.sealed(map[string]string{"com.docker.compose.project": s.Project, labelSecrets: "true"}, kindVolume, name, s, "")
	return mount.Mount{
		Type: mount.TypeVolume, Source: name, Target: berth.SecretsDir, ReadOnly: readOnly,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: labels, DriverConfig: &mount.Driver{
			Name: "local", Options: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": secretsOptions},
		}},
	}
}

// startWithSecrets starts containers of one service after their secrets are in place.
func (a *application) startWithSecrets(ctx context.Context, specs []instance) (err error) {
	spec := specs[0]
	s := step{"deliver the secrets of service " + spec.Service.Name, a.stack.OrganizationID}
	if err := a.checkSecrets(ctx, s, spec); err != nil {
		return err
	}
	id, err := a.makeBearer(ctx, s, spec)
	if id != "" {
		// Also when ctx ends: what is left is removed by the next Apply.
		defer func() {
			if gone := a.removeBearer(ctx, s, id); err == nil {
				err = gone
			}
		}()
	}
	if err != nil {
		return err
	}
	if err := a.fill(ctx, s, id, spec.Service); err != nil {
		return err
	}
	for _, spec := range specs {
		if err := a.start(ctx, spec); err != nil {
			return err
		}
	}
	return nil
}

// checkSecrets refuses a volume that is not memory: someone made it anew.
func (a *application) checkSecrets(ctx context.Context, s step, spec instance) error {
	name := secretsVolume(a.stack, spec)
	return a.do(ctx, s, a.ReadTimeout, func(ctx context.Context) error {
		v, err := a.api.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
		if err == nil && (v.Volume.Driver != "local" || v.Volume.Options["type"] != "tmpfs" || v.Volume.Options["o"] != secretsOptions || a.disproof(kindVolume, name, v.Volume.Labels) != "") {
			return berth.Errorf(berth.CodeForeignObject, "Volume %s is not the one that Berth made for secrets", name).
				WithHint("remove it: nothing is lost").WithOp(s.op, s.tenant)
		}
		return err
	})
}

// makeBearer returns the id of a container that keeps the volume mounted, also
// if it could not be started.
func (a *application) makeBearer(ctx context.Context, s step, spec instance) (id string, err error) {
	program, err := holdProgram(a.facts.machine)
	if err != nil {
		return "", err
	}
	name := bearerName(a.stack, spec)
	for _, c := range a.have.bearers { // of an Apply that was cut off
		if nameOf(c) == name {
			if err := a.discard(ctx, a.stack.OrganizationID, c, dropUnnamed); err != nil {
				return "", err
			}
		}
	}
	labels := a.sealed(map[string]string{berth.LabelService: spec.Service.Name, labelSecrets: "true", labelGrace: "0"}, kindContainer, name, a.stack, spec.Hash)
	grace, pids := 0, int64(2)
	body := client.ContainerCreateOptions{Name: name, Config: &container.Config{
		Image: spec.Service.Image, User: spec.Service.User, Entrypoint: []string{holdPath}, Labels: labels, StopTimeout: &grace,
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}}, NetworkDisabled: true,
	}, HostConfig: &container.HostConfig{
		NetworkMode: network.NetworkNone, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"},
		IpcMode: container.IPCModePrivate, CgroupnsMode: container.CgroupnsModePrivate, Runtime: a.Runtime,
		LogConfig: container.LogConfig{Type: "none"}, Mounts: []mount.Mount{a.secretsMount(a.stack, spec, false)},
		Resources: container.Resources{Memory: bearerMemory, MemorySwap: bearerMemory, PidsLimit: &pids},
	}}
	if id, err = a.createBearer(ctx, s, body); err != nil {
		return id, err
	}
	return id, a.do(ctx, s, a.ChangeTimeout, func(ctx context.Context) error {
		files, err := archive([]tar.Header{{Name: holdPath[1:], Mode: 0o555}}, [][]byte{program})
		if err != nil {
			return err
		}
		if _, err := a.api.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: files}); err != nil {
			return err
		}
		_, err = a.api.ContainerStart(ctx, id, client.ContainerStartOptions{})
		return err
	})
}

func (a *application) createBearer(ctx context.Context, s step, body client.ContainerCreateOptions) (id string, err error) {
	for deadline := time.Now().Add(a.ChangeTimeout); ; {
		err := a.do(ctx, s, a.ChangeTimeout, func(ctx context.Context) error {
			made, err := a.api.ContainerCreate(ctx, body)
			id = made.ID
			return err
		})
		if !errdefs.IsConflict(err) || time.Now().After(deadline) {
			return id, err
		}
		// Of a call of ours whose answer was lost.
		h, err := a.look(ctx, a.stack.OrganizationID, byName)
		if err != nil {
			return "", err
		}
		for _, c := range h.bearers {
			if nameOf(c) == body.Name {
				if err := a.discard(ctx, a.stack.OrganizationID, c, dropUnnamed); err != nil {
					return "", err
				}
			}
		}
		if err := pause(ctx); err != nil {
			return "", a.explain(ctx, ctx, a.ChangeTimeout, err).WithOp(s.op, s.tenant)
		}
	}
}

// fill writes the files, unless all are there: those of a container that runs
// are never touched. What one spec's volume holds is always the same.
func (a *application) fill(ctx context.Context, s step, id string, svc *berth.Service) error {
	return a.do(ctx, s, a.ChangeTimeout, func(ctx context.Context) error {
		there := 0
		for _, f := range svc.Secrets {
			_, err := a.api.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: berth.SecretsDir + "/" + f.Name})
			if err != nil && !errdefs.IsNotFound(err) {
				return err
			}
			if err == nil {
				there++
			}
		}
		if there == len(svc.Secrets) {
			return nil
		}
		user, group, _ := strings.Cut(svc.User, ":")
		uid, errUser := strconv.Atoi(user)
		gid, errGroup := strconv.Atoi(group)
		if err := errors.Join(errUser, errGroup); err != nil {
			return berth.Errorf(berth.CodeEngineRefused, "Service %s gets secrets as files and names no user by numbers", svc.Name).
				WithHint("name user and group, such as 65532:65532").WithOp(s.op, s.tenant)
		}
		var heads []tar.Header
		var values [][]byte
		for _, f := range svc.Secrets {
			heads = append(heads, tar.Header{Name: f.Name, Mode: 0o400, Uid: uid, Gid: gid})
			values = append(values, []byte(f.Value))
		}
		files, err := archive(heads, values)
		if err != nil {
			return err
		}
		_, err = a.api.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: berth.SecretsDir, Content: files})
		return err
	})
}

func archive(heads []tar.Header, contents [][]byte) (*bytes.Buffer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, h := range heads {
		h.Typeflag, h.Size = tar.TypeReg, int64(len(contents[i]))
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(contents[i]); err != nil {
			return nil, err
		}
	}
	return &b, w.Close()
}

func (a *application) removeBearer(ctx context.Context, s step, id string) error {
	err := a.do(context.WithoutCancel(ctx), s, a.ChangeTimeout, func(ctx context.Context) error {
		_, err := a.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}) // anonymous ones, of the image
		return err
	})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) { // it is being removed
		return nil
	}
	return err
}

// tidy removes what delivered secrets to containers that are gone. What still
// is in use stays for the next time.
func (a *application) tidy(ctx context.Context) error {
	var wanted []string
	for _, spec := range a.specs {
		if len(spec.Service.Secrets) > 0 {
			wanted = append(wanted, secretsVolume(a.stack, spec))
		}
	}
	for _, c := range a.have.bearers { // of an Apply that was cut off
		if err := a.discard(ctx, a.stack.OrganizationID, c, dropUnnamed); err != nil {
			return err
		}
	}
	for _, v := range a.have.secrets {
		if !slices.Contains(wanted, v.Name) {
			if err := a.dropSecrets(ctx, a.stack.OrganizationID, v.Name); err != nil && !errdefs.IsConflict(err) {
				return err
			}
		}
	}
	return nil
}

// dropSecrets removes a volume that holds nothing while nobody uses it.
func (e *Engine) dropSecrets(ctx context.Context, tenant, name string) error {
	err := e.do(ctx, step{"remove volume " + name, tenant}, e.ChangeTimeout, func(ctx context.Context) error {
		_, err := e.api.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
		return err
	})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
