package serve

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/unite-hub/berth"
)

// lockState makes the state directory and takes it for this process alone: two
// control planes on one database file would both believe that they lead. The
// lock ends with the process, however that ends.
func lockState(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, berth.Errorf(berth.CodeStorageUnavailable, "make state directory: %w", err).
			WithHint("give a directory that can be written, with --state-dir")
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, berth.Errorf(berth.CodeStorageUnavailable, "open lock of state directory: %w", err).
			WithHint("give a directory that can be written, with --state-dir")
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, berth.Errorf(berth.CodeStorageUnavailable, "state directory %s is in use by another Berth", dir).
			WithHint("stop the other one, or give another --state-dir")
	}
	return func() { _ = f.Close() }, nil
}
