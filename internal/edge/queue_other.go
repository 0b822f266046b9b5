//go:build !linux

package edge

// acceptQueue is not known here.
func acceptQueue(int) int { return 0 }

func turnAway(int) {}
