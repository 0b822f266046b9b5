package berth

import (
	"math"
)

// Bounds of a tenant's limits, from the seed's validateTenantConfig. 1 MB is
// 1,048,576 bytes.
const (
	MaxCPU       = 4.0
	MinCPU       = 0.01 // the least that an engine can enforce
	MinMemoryMB  = 256
	MaxMemoryMB  = 8192
	MinDiskMB    = 1024
	MaxDiskMB    = 64 << 20 // 64 TB
	MaxReplicas  = 8
	BytesPerMB   = 1 << 20
	DefaultCPU   = 0.50
	DefaultMemMB = 512
	DefaultDisk  = 2048
)

// Limits bound what one instance of a tenant may use.
type Limits struct {
	CPU      float64 // cores, in hundredths
	MemoryMB int
	DiskMB   int
}

// DefaultLimits are the seed's.
func DefaultLimits() Limits {
	return Limits{CPU: DefaultCPU, MemoryMB: DefaultMemMB, DiskMB: DefaultDisk}
}

// Validate returns the seed's message for the first limit that is out of
// bounds.
func (l Limits) Validate() error {
	if !(l.CPU >= MinCPU && l.CPU <= MaxCPU) { // false for NaN too
		return Errorf(CodeInvalidCPU, "CPU limit must be between 0 and 4.0").
			WithField("cpuLimit").WithHint("give cores as a number from 0.01 to 4.0, such as 0.5; %v was given", l.CPU)
	}
	if l.MemoryMB < MinMemoryMB || l.MemoryMB > MaxMemoryMB {
		return Errorf(CodeInvalidMemory, "Memory limit must be between 256MB and 8192MB").
			WithField("memoryLimitMb").WithHint("give megabytes (1 MB is 1,048,576 bytes) from 256 to 8192; %d was given", l.MemoryMB)
	}
	if l.DiskMB < MinDiskMB {
		return Errorf(CodeInvalidDisk, "Disk limit must be at least 1024MB").
			WithField("diskLimitMb").WithHint("give megabytes (1 MB is 1,048,576 bytes), 1024 or more; %d was given", l.DiskMB)
	}
	if l.DiskMB > MaxDiskMB {
		return Errorf(CodeInvalidDisk, "Disk limit must be at most %dMB", MaxDiskMB).
			WithField("diskLimitMb").WithHint("give megabytes, not bytes; %d was given", l.DiskMB)
	}
	return nil
}

// Rounded returns l with the CPU limit rounded to hundredths of a core, the
// precision that is stored, shown and enforced.
func (l Limits) Rounded() Limits {
	l.CPU = math.Round(l.CPU*100) / 100
	return l
}

// EffectiveCPU is what an engine with so many cores can give: it refuses a
// limit above what it has. An engine of unknown size (0) gives what is asked.
func (l Limits) EffectiveCPU(engineCores int) float64 {
	if engineCores > 0 && l.CPU > float64(engineCores) {
		return float64(engineCores)
	}
	return l.CPU
}

// NanoCPUs is the CPU limit in billionths of a core.
func NanoCPUs(cores float64) int64 { return int64(math.Round(cores*100)) * 10_000_000 }

// ValidateReplicas checks the number of replicas of the service that answers
// requests.
func ValidateReplicas(n int) error {
	if n < 1 || n > MaxReplicas {
		return Errorf(CodeInvalidReplicas, "Replicas must be between 1 and %d", MaxReplicas).
			WithField("replicas").WithHint("a tenant's network holds 13 containers, for two generations at once; %d was given", n)
	}
	return nil
}
