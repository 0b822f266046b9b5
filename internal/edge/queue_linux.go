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
