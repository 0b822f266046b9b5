package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// SharedDir names the variable with the directory in which the packages of one
// run of the tests find what one of them has made: make test sets it. Without
// it, each makes its own.
const SharedDir = "BERTH_TESTBED"

// shared returns the path of what build makes at a path, made once in a run; own
// is where it goes if nothing is shared.
func shared(name, own string, build func(path string) error) (string, error) {
	dir := os.Getenv(SharedDir)
	if dir == "" {
		return own, build(own)
	}
	lock, err := os.OpenFile(filepath.Join(dir, name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }() // which unlocks it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	if err := build(path + ".new"); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path) // whole, or not there
}

// BuildShared is GoBuild, once in a run of the tests. It returns where the
// binary is: at out, if nothing is shared.
func BuildShared(ctx context.Context, out, pkg, ldflags string) (string, error) {
	name := "binary-" + strings.NewReplacer("/", "_", " ", "_").Replace(pkg+ldflags)
	return shared(name, out, func(path string) error { return GoBuild(ctx, path, pkg, ldflags) })
}
