//go:build !linux

package edge

// descriptorLimit is how many descriptors this process may have open, as far as
// is known here.
func descriptorLimit() int64 { return 1024 }

// memoryLimit is how much memory this process may use, as far as is known here.
func memoryLimit() int64 { return 1 << 30 }
