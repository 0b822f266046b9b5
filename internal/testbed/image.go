// Package testbed is what tests, benchmarks and scripts stand on: a real
// Engine, an image that is made without pulling anything, a registry, and the
// real binary as a process. It is no part of the product.
package testbed

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/client"
)

// EnsureEngine returns an error if no Engine answers.
func EnsureEngine(ctx context.Context) error {
	cli, err := Engine()
	if err != nil {
		return err
	}
	defer func() { _ = cli.Close() }()
	if _, err := cli.Ping(ctx, client.PingOptions{}); err != nil {
		return fmt.Errorf("no Docker Engine answers (run scripts/engine.sh): %w", err)
	}
	return nil
}

// Engine returns a client of the Engine that DOCKER_HOST names.
func Engine() (*client.Client, error) { return client.New(client.FromEnv) }

// LoadTenantImage builds examples/tenantapp and loads it into the Engine under
// a reference. The same source and version always give the same image.
func LoadTenantImage(ctx context.Context, reference, version string) error {
	img, err := TenantImage(ctx, version)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := tarball.Write(tag, img, &archive); err != nil {
		return fmt.Errorf("write image %s: %w", reference, err)
	}
	cli, err := Engine()
	if err != nil {
		return err
	}
	defer func() { _ = cli.Close() }()
	res, err := cli.ImageLoad(ctx, &archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("load image %s: %w", reference, err)
	}
	out, err := io.ReadAll(res)
	if err = errors.Join(err, res.Close()); err != nil {
		return fmt.Errorf("load image %s: %w", reference, err)
	}
	if bytes.Contains(out, []byte(`"error"`)) {
		return fmt.Errorf("load image %s: %s", reference, out)
	}
	return nil
}

// RemoveImage untags an image, and deletes it if nothing else needs it. It is
// no error if there is none.
func RemoveImage(ctx context.Context, reference string) error {
	cli, err := Engine()
	if err != nil {
		return err
	}
	defer func() { _ = cli.Close() }()
	_, err = cli.ImageRemove(ctx, reference, client.ImageRemoveOptions{PruneChildren: true})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// TenantImage makes the image: the static binary, and the directories of the
// built-in blueprint's volumes, owned by the user that it runs as.
func TenantImage(ctx context.Context, version string) (v1.Image, error) {
	binary, err := tenantBinary(ctx, version)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		var b bytes.Buffer
		err := writeLayer(&b, binary)
		return io.NopCloser(&b), err
	})
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{
		User: "1001:1001", Entrypoint: []string{"/tenantapp"}, WorkingDir: "/app",
		ExposedPorts: map[string]struct{}{"3000/tcp": {}},
		Labels:       map[string]string{"org.opencontainers.image.version": version},
	}
	return mutate.ConfigFile(img, file)
}

func writeLayer(w io.Writer, binary []byte) error {
	tw := tar.NewWriter(w)
	for _, dir := range []string{"app", "app/public", "app/public/uploads", "app/logs", "app/.next", "app/.next/cache", "tmp"} {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, Uid: 1001, Gid: 1001}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
	}
	if err := tw.WriteHeader(&tar.Header{Name: "tenantapp", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		return err
	}
	if _, err := tw.Write(binary); err != nil {
		return err
	}
	return tw.Close()
}

var built sync.Map // version to func() ([]byte, error), so that a process compiles each once

func tenantBinary(ctx context.Context, version string) ([]byte, error) {
	once, _ := built.LoadOrStore(version, sync.OnceValues(func() ([]byte, error) {
		dir, err := os.MkdirTemp("", "tenantapp")
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		out, err := BuildShared(ctx, filepath.Join(dir, "tenantapp"), "./examples/tenantapp", "-s -w -X main.version="+version)
		if err != nil {
			return nil, err
		}
		return os.ReadFile(out)
	}))
	return once.(func() ([]byte, error))()
}

// GoBuild compiles a package of this module into a static binary.
func GoBuild(ctx context.Context, out, pkg, ldflags string, more ...string) error {
	root, err := ModuleRoot()
	if err != nil {
		return err
	}
	args := append([]string{"build", "-trimpath", "-ldflags", ldflags, "-o", out}, more...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = root
	cmd.Env = os.Environ()
	if len(more) == 0 { // -race needs cgo
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, output)
	}
	return nil
}

// ModuleRoot is the directory of go.mod, above the working directory.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}
