package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/docker"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/testbed"
)

// shared is what all tests of the package use: images that are made once.
var shared struct {
	images enginetest.Images
	layer  v1.Layer
	api    *client.Client // for manual changes
	id     string         // of this run's installation, and the beginning of the stranger's
	pool   *testbed.Pool
	taken  atomic.Uint32 // subnets of the pool
}

// subnet hands out the /28s of the pool, one after the other, and begins anew: by
// then the first have been removed.
func subnet() netip.Prefix {
	a := shared.pool.Addr().As4()
	n := (shared.taken.Add(1) - 1) % (1 << (berth.SubnetBits - shared.pool.Bits()))
	binary.BigEndian.PutUint16(a[2:], binary.BigEndian.Uint16(a[2:])+uint16(n<<(32-berth.SubnetBits)))
	return netip.PrefixFrom(netip.AddrFrom4(a), berth.SubnetBits)
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	shared.id = "test-" + berth.NewID()[:8]
	shared.api, err = client.New(client.FromEnv)
	if err != nil {
		return 1, err
	}
	defer shared.api.Close()
	if shared.pool, err = testbed.ClaimPool(ctx); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, shared.pool.Release()) }()
	if err := shared.pool.Owns(shared.id, shared.id+"-stranger"); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "berth-enginetest-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if shared.layer, err = buildApp(dir); err != nil {
		return 1, err
	}
	base := "berth-enginetest:" + berth.NewID()[:8]
	shared.images.Local = base
	for _, i := range []struct {
		ref   string
		entry string
		pin   *string
		keeps []string
	}{
		{base, "/app", &shared.images.App, nil}, {base + "-next", "/app", &shared.images.Next, nil},
		{base + "-broken", "/missing", &shared.images.Broken, nil}, {base + "-keeps", "/app", &shared.images.Keeps, []string{"/data"}},
	} {
		img, err := makeImage(i.ref, i.entry, i.keeps...)
		if err != nil {
			return 1, err
		}
		defer func() {
			if _, rmErr := shared.api.ImageRemove(ctx, i.ref, client.ImageRemoveOptions{Force: true}); rmErr != nil && err == nil {
				code, err = 1, rmErr
			}
		}()
		if *i.pin, err = load(ctx, i.ref, img); err != nil {
			return 1, err
		}
	}
	// They wait for the Engine more than they work.
	if err := flag.Set("test.parallel", "8"); err != nil {
		return 1, err
	}
	code = m.Run()
	return code, cleanUp(ctx)
}

// cleanUp removes what a call that was cut off made after its test was over.
func cleanUp(ctx context.Context) error {
	var errs []error
	for _, installation := range []string{shared.id, shared.id + "-stranger"} {
		f := client.Filters{}.Add("label", berth.LabelInstallation+"="+installation)
		containers, err := shared.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: f})
		errs = append(errs, err)
		for _, c := range containers.Items {
			errs = append(errs, remove(ctx, "container", c.ID))
		}
		networks, err := shared.api.NetworkList(ctx, client.NetworkListOptions{Filters: f})
		errs = append(errs, err)
		for _, n := range networks.Items {
			errs = append(errs, remove(ctx, "network", n.ID))
		}
		volumes, err := shared.api.VolumeList(ctx, client.VolumeListOptions{Filters: f})
		errs = append(errs, err)
		for _, v := range volumes.Items {
			errs = append(errs, remove(ctx, "volume", v.Name))
		}
	}
	return errors.Join(errs...)
}

// buildApp compiles the program and returns the layer that holds it.
func buildApp(dir string) (v1.Layer, error) {
	bin := filepath.Join(dir, "app")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the test app: %w\n%s", err, out)
	}
	program, err := os.ReadFile(bin)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	headers := []*tar.Header{
		{Name: "app", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program))},
		{Name: "data/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: 65532, Gid: 65532},
	}
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(program); err != nil {
				return nil, err
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }, tarball.WithCompressedCaching)
}

// makeImage returns an image whose id depends on label, and that declares volumes.
func makeImage(label, entrypoint string, volumes ...string) (v1.Image, error) {
	img, err := mutate.AppendLayers(empty.Image, shared.layer)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, func() *v1.ConfigFile {
		cfg, err := img.ConfigFile()
		if err != nil {
			panic(err)
		}
		cfg = cfg.DeepCopy()
		cfg.Architecture, cfg.OS = "amd64", "linux"
		cfg.Config.Entrypoint, cfg.Config.Cmd = []string{entrypoint}, []string{"hello from " + label, "err:complaint"}
		cfg.Config.Labels = map[string]string{"made-for": label}
		for _, v := range volumes {
			if cfg.Config.Volumes == nil {
				cfg.Config.Volumes = map[string]struct{}{}
			}
			cfg.Config.Volumes[v] = struct{}{}
		}
		return cfg
	}())
}

// load puts an image into the Engine and returns its id.
func load(ctx context.Context, ref string, img v1.Image) (string, error) {
	tag, err := name.NewTag(ref)
	if err != nil {
		return "", err
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(tarball.Write(tag, img, w)) }()
	got, err := shared.api.ImageLoad(ctx, r)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, got); err != nil {
		return "", err
	}
	_ = got.Close()
	i, err := shared.api.ImageInspect(ctx, ref)
	return i.ID, err
}

// options of an engine under test. Every call has the same installation.
func options() docker.Options {
	return docker.Options{Installation: shared.id, SealKey: bytes.Repeat([]byte{7}, 32)}
}

func open(t testing.TB, o docker.Options) *docker.Engine {
	t.Helper()
	e, err := docker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}
