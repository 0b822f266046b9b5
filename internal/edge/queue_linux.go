package edge

import "golang.org/x/sys/unix"

// acceptQueue is how many connections wait to be accepted: of a listening
// socket, the kernel tells that in the field of unacknowledged segments.
func acceptQueue(fd int) int {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return int(info.Unacked)
}

// turnAway lets the kernel drop what arrives at a listening socket, so that the
// queue can be emptied: closing resets whoever is in it. Whoever comes now asks
// again in a second and is refused then.
func turnAway(fd int) {
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	program := unix.SockFprog{Len: 1, Filter: &drop}
	// A kernel that can't leaves a moment in which a client may be reset.
	_ = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
}
