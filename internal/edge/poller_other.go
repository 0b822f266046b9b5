//go:build !linux

package edge

// poller is not known here: each listener waits by itself.
type poller struct{}

func newPoller() *poller { return nil }

func (*poller) close() {}

func (*poller) watch(*listener) bool { return false }

func (*poller) forget(*listener) {}
