package edge

import "golang.org/x/sys/unix"

// descriptorLimit is how many descriptors this process may have open.
func descriptorLimit() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int64(min(limit.Cur, 1<<24))
}
