//go:build !linux

package edge

// descriptorLimit is how many descriptors this process may have open, as far as
// is known here.
func descriptorLimit() int64 { return 1024 }
