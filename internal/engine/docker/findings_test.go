package docker

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/system"
)

func told(i system.Info, api string) (all string, mend []string) {
	var b strings.Builder
	for _, f := range findings(i, api) {
		b.WriteString(f.Check + ": " + f.Detail + "\n")
		if !f.OK {
			mend = append(mend, f.Check)
			if f.Hint == "" {
				b.WriteString("no hint\n")
			}
		}
	}
	return b.String(), mend
}

// What Engines 20.10 and 30 say of themselves, and what nobody here has seen.
func TestWhatAnOperatorShouldKnowOfAnEngineIsTold(t *testing.T) {
	whole := system.Info{Driver: "overlay2", CgroupDriver: "cgroupfs", CgroupVersion: "1", MemoryLimit: true, CPUCfsQuota: true, PidsLimit: true}
	containerd := whole
	containerd.Driver, containerd.DriverStatus = "overlayfs", [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
	containerd.FirewallBackend = &system.FirewallInfo{Driver: "nftables"}
	rootless := whole
	rootless.SecurityOptions = []string{"name=seccomp,profile=builtin", "name=rootless"}
	unlimited := whole
	unlimited.MemoryLimit, unlimited.PidsLimit = false, false
	for name, c := range map[string]struct {
		info  system.Info
		api   string
		says  []string
		mends string
	}{
		"20.10":                             {whole, "1.41", []string{"engine API: 1.41", "image store: overlay2", "cgroups: version 1", "firewall: iptables"}, ""},
		"30":                                {containerd, "1.56", []string{"engine API: 1.56", "image store: containerd, overlayfs\n", "firewall: nftables"}, ""},
		"the containerd store before 1.53":  {containerd, "1.51", []string{"which images a registry has"}, ""},
		"older than any that was tried":     {whole, "1.40", []string{"1.40 is older than 1.41"}, "engine API"},
		"rootless without the new cgroups":  {rootless, "1.56", []string{"rootless: ", "can't hold tenants to their limits"}, "cgroups"},
		"controllers that the kernel lacks": {unlimited, "1.56", []string{"memory limit: ", "pids limit: "}, "memory limit, pids limit"},
	} {
		t.Run(name, func(t *testing.T) {
			all, mend := told(c.info, c.api)
			for _, want := range c.says {
				if !strings.Contains(all, want) {
					t.Errorf("%q is not told:\n%s", want, all)
				}
			}
			if got := strings.Join(mend, ", "); got != c.mends {
				t.Errorf("to be mended: %q, not %q", got, c.mends)
			}
			if strings.Contains(all, "no hint") {
				t.Errorf("nobody says how to mend it:\n%s", all)
			}
		})
	}
}
