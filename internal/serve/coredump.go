package serve

import (
	"golang.org/x/sys/unix"

	"github.com/unite-hub/berth"
)

// disableCoreDumps keeps the memory of this process, where keys and secrets are, out of
// core files, and from other programs of the same user.
func disableCoreDumps() error {
	err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	if err == nil {
		// The limit alone does not stop a program that the kernel pipes cores to.
		err = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	if err != nil {
		return berth.Errorf(berth.CodeInternal, "core files can't be turned off: %w", err).WithHint("this is a fault of Berth; please report it")
	}
	return nil
}
