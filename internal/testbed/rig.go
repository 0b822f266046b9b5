package testbed

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Rig is what the tests of a package share: the real binary, and two versions
// of the tenant image under references of the package's own.
type Rig struct {
	Binary   string
	ImageOne string
	ImageTwo string
}

// Main runs a package's tests on a rig that goes when they are over. It
// returns the exit code.
func Main(m *testing.M, name string, rig *Rig) int {
	code, err := rig.run(m, name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func (r *Rig) run(m *testing.M, name string) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "berth-"+name)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if r.Binary, err = BuildShared(ctx, filepath.Join(dir, "berth"), "./cmd/berth", "-s -w"); err != nil {
		return 1, err
	}
	if err := errors.Join(sweepPools(ctx), dropImages(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, "what a killed run left is there still:", err) // and in nobody's way
	}
	repository := fmt.Sprintf("%s%s-%d", imagePrefix, name, os.Getpid())
	r.ImageOne, r.ImageTwo = repository+":1", repository+":2"
	for image, version := range map[string]string{r.ImageOne: "1", r.ImageTwo: "2"} {
		if err := LoadTenantImage(ctx, image, version); err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, RemoveImage(context.Background(), image)) }()
	}
	// Tests wait for the Engine, for grace periods and for deadlines more than they
	// work, and so do more of them at a time than there are cores.
	if err := flag.Set("test.parallel", "5"); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// imagePrefix begins the repositories of rigs' images: the name of the package
// and the number of the process follow.
const imagePrefix = "berth-rig-"

// dropImages removes what processes that were killed have left.
func dropImages(ctx context.Context) error {
	engine, err := Engine()
	if err != nil {
		return err
	}
	defer func() { _ = engine.Close() }()
	list, err := engine.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("reference", imagePrefix+"*")})
	if err != nil {
		return err
	}
	for _, image := range list.Items {
		for _, reference := range image.RepoTags {
			parts := strings.FieldsFunc(strings.TrimPrefix(reference, imagePrefix), func(r rune) bool { return r == '-' || r == ':' })
			if pid, err := strconv.Atoi(parts[min(1, len(parts)-1)]); err != nil || alive(pid) {
				continue
			}
			if err := RemoveImage(ctx, reference); err != nil && !errdefs.IsConflict(err) { // a container has it still
				return err
			}
		}
	}
	return nil
}
