package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
		lock, err := os.OpenFile(filepath.Join(dir, fmt.Sprint(n)), os.O_CREATE|os.O_RDONLY, 0o644)
		if err != nil {
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
