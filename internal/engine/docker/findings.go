package docker

import (
	"slices"
	"strings"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client/pkg/versions"

	"github.com/unite-hub/berth"
)

// leastAPI is that of Engine 20.10, the oldest that the suite ran on.
const leastAPI = "1.41"

// noGroups is the cgroup driver of an Engine that has none: a rootless one that
// gets no cgroups of version 2.
const noGroups = "none"

// findings are what an operator should know of this Engine; docs/engines.md has
// what each version says. api is the version that both sides speak.
func findings(i system.Info, api string) []berth.EngineFinding {
	list := []berth.EngineFinding{{Check: "engine API", OK: true, Detail: api}, imageStore(i, api), cgroups(i), firewall(i)}
	if versions.LessThan(api, leastAPI) {
		list[0] = berth.EngineFinding{Check: "engine API", Detail: api + " is older than " + leastAPI, Hint: "install Docker Engine 20.10 or later"}
	}
	if isRootless(i) {
		list = append(list, berth.EngineFinding{Check: "rootless", OK: true, Detail: "tenants' ports are published on 127.0.0.1, and what a tenant fills is this user's"})
	}
	return append(list, limits(i)...)
}

func hasOption(i system.Info, name string) bool {
	return slices.ContainsFunc(i.SecurityOptions, func(o string) bool {
		first, _, _ := strings.Cut(o, ",")
		return first == "name="+name
	})
}

func isRootless(i system.Info) bool { return hasOption(i, "rootless") }

// isContainerdStore reports whether containerd keeps the images, which names a
// repository digest for each of them.
func isContainerdStore(i system.Info) bool {
	return slices.ContainsFunc(i.DriverStatus, func(s [2]string) bool {
		return s[0] == "driver-type" && strings.HasPrefix(s[1], "io.containerd.snapshotter")
	})
}

func imageStore(i system.Info, api string) berth.EngineFinding {
	f := berth.EngineFinding{Check: "image store", OK: true, Detail: i.Driver}
	if isContainerdStore(i) {
		f.Detail = "containerd, " + i.Driver
		if versions.LessThan(api, identityAPI) {
			f.Detail += "; before API " + identityAPI + " it does not say which images a registry has: one that was only built or loaded is pinned as if it could be pulled again"
		}
	}
	return f
}

func cgroups(i system.Info) berth.EngineFinding {
	f := berth.EngineFinding{Check: "cgroups", OK: true, Detail: "version " + i.CgroupVersion + ", " + i.CgroupDriver}
	if i.CgroupVersion == "" {
		f.Detail = "version not told, " + i.CgroupDriver
	}
	if isRootless(i) && i.CgroupVersion == "1" {
		f.OK, f.Detail = false, f.Detail+": a rootless Engine can't hold tenants to their limits"
		f.Hint = "start the host with systemd.unified_cgroup_hierarchy=1, or use an Engine with root"
	}
	return f
}

func firewall(i system.Info) berth.EngineFinding {
	f := berth.EngineFinding{Check: "firewall", OK: true, Detail: "iptables"} // before API 1.49 there is no other
	if i.FirewallBackend != nil {
		f.Detail = i.FirewallBackend.Driver
	}
	return f
}

// limits are those that this Engine does not enforce: tenants would take from
// each other what they were not given.
func limits(i system.Info) (list []berth.EngineFinding) {
	for _, l := range []struct {
		name     string
		enforced bool
	}{{"memory", i.MemoryLimit}, {"cpu", i.CPUCfsQuota}, {"pids", i.PidsLimit}} {
		if !l.enforced {
			list = append(list, berth.EngineFinding{
				Check: l.name + " limit", Detail: "this Engine does not enforce it",
				Hint: "give the Engine the " + l.name + " controller (cgroup_enable on the kernel's command line; delegation to the user of a rootless one)",
			})
		}
	}
	return list
}
