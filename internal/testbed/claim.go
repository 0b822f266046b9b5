package testbed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// claims is where processes lock what they have claimed. It is the same for all,
// whatever their TMPDIR: what is claimed is the machine's.
const claims = "/tmp"

// claim takes the first of a number of things from which no other claim on this
// machine has, and locks it. It is free again when the file is closed, and when
// the process ends, however it ends.
func claim(dir string, from, things int) (n int, lock *os.File, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return 0, nil, err
	}
	_ = os.Chmod(dir, 0o777) // for other users, whatever the umask; who did not make it may not
	for n := from; n < things; n++ {
		lock, err := os.OpenFile(filepath.Join(dir, fmt.Sprint(n)), os.O_CREATE|os.O_RDWR, 0o644)
		if errors.Is(err, fs.ErrPermission) {
			continue // another user's, who may come back for what is in it
		} else if err != nil {
			return 0, nil, err
		}
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return n, lock, nil
		}
		_ = lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return 0, nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
	}
	return 0, nil, fmt.Errorf("%w: see who holds the files in %s", errClaimed, dir)
}

var errClaimed = errors.New("all are claimed")

// ownedAtMost bounds what a claim's file says: the oldest is of runs long over.
const ownedAtMost = 200

// own writes names into the file of a claim that this process has. Unlike the lock it
// outlives the process.
func own(file string, names ...string) error {
	before, err := owned(file)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(before, name) })
	if len(names) == 0 {
		return nil
	}
	flags := os.O_WRONLY | os.O_APPEND // several control planes of one test may start at a time
	if len(before) > ownedAtMost {
		names, flags = append(before[len(before)/2:], names...), os.O_WRONLY|os.O_TRUNC
	}
	f, err := os.OpenFile(file, flags, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(names, "\n") + "\n")
	return errors.Join(err, f.Close())
}

// owned returns the names in the file of a claim.
func owned(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	return strings.Fields(string(text)), err
}
