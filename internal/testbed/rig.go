package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
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
	if r.Binary, err = BuildShared(ctx, filepath.Join(dir, "berth"), "./cmd/berth", ""); err != nil {
		return 1, err
	}
	repository := fmt.Sprintf("berth-%s-%d", name, os.Getpid())
	r.ImageOne, r.ImageTwo = repository+":1", repository+":2"
	for image, version := range map[string]string{r.ImageOne: "1", r.ImageTwo: "2"} {
		if err := LoadTenantImage(ctx, image, version); err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, RemoveImage(context.Background(), image)) }()
	}
	return m.Run(), nil
}
