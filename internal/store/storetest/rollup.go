package storetest

import "github.com/unite-hub/berth"

// RollUp sums periods of one tenant up to one, as berth.AverageUsage does. periods
// are by start and must not be empty. The stores do it in SQL, and are compared
// with this by their suite.
func RollUp(resolution berth.Resolution, periods []berth.Usage) berth.Usage {
	a := berth.AverageUsage(periods)
	sum := berth.Usage{
		OrganizationID: periods[0].OrganizationID, Resolution: resolution, Start: a.From, End: a.To,
		CPUPercentAvg: a.CPUPercentAvg, CPUPercentMax: a.CPUPercentMax, Throttled: a.Throttled,
		MemoryAvg: a.MemoryAvg, MemoryMax: a.MemoryMax, OOMKills: a.OOMKills, NetworkRx: a.NetworkRx, NetworkTx: a.NetworkTx,
		Disk: a.Disk, DiskRead: a.DiskRead, DiskWritten: a.DiskWritten, Requests: a.Requests, Errors: a.Errors, ResponseTime: a.ResponseTime,
	}
	for _, p := range periods {
		if p.MemoryLimit.Known {
			sum.MemoryLimit = p.MemoryLimit
		}
		sum.Samples += p.Samples
	}
	return sum
}
