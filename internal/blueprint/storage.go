package blueprint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"

	"github.com/unite-hub/berth"
)

// storage is what the service may write.
func (s serviceParser) storage() ([]VolumeMount, []berth.Tmpfs) {
	var mounts []VolumeMount
	tmpfs := map[string]int{tmpDir: defaultTmpfsMB}
	taken := map[string]bool{}
	take := func(key, target string) bool {
		if why := unfit(target); why != "" {
			s.invalid(s.node, s.path+"."+key, "mount it at a directory of the service's own, such as /data", "%s %s", berth.Quote(target), why)
			return false
		}
		if taken[target] {
			s.invalid(s.node, s.path+"."+key, "mount one thing at one place", "something else is mounted at %s", target)
			return false
		}
		taken[target] = true
		return true
	}
	for i, v := range s.from.Volumes {
		key := fmt.Sprintf("volumes[%d]", i)
		switch v.Type {
		case types.VolumeTypeVolume:
			if s.namedVolume(key, v) && take(key, v.Target) {
				mounts = append(mounts, VolumeMount{Volume: v.Source, Target: v.Target, ReadOnly: v.ReadOnly})
			}
		case types.VolumeTypeTmpfs:
			mb := defaultTmpfsMB
			if v.Tmpfs != nil && v.Tmpfs.Size > 0 {
				mb = s.scratch(key, int64(v.Tmpfs.Size))
			}
			if take(key, v.Target) {
				tmpfs[v.Target] = mb
			}
		case types.VolumeTypeBind:
			s.add(s.node, s.path+"."+key, Forbidden, "mounts "+berth.Quote(v.Source)+" of the host, which all tenants would share", "use a named volume, or put the file into the image")
		default:
			s.add(s.node, s.path+"."+key, Forbidden, "mounts of type "+berth.Quote(v.Type)+" are not made", "use a named volume")
		}
	}
	for i, t := range s.from.Tmpfs {
		key := fmt.Sprintf("tmpfs[%d]", i)
		target, mb := s.tmpfs(key, t)
		if take(key, target) {
			tmpfs[target] = mb
		}
	}
	for i, target := range s.x.writable[s.name] {
		if _, there := tmpfs[target]; there {
			continue
		}
		why := unfit(target)
		if why == "" && taken[target] {
			why = "has something else mounted at it"
		}
		if why != "" {
			s.invalid(s.find("x-berth.writable."+s.name), fmt.Sprintf("x-berth.writable.%s[%d]", s.name, i), "name a directory of the service's own that nothing is mounted at", "%s %s", berth.Quote(target), why)
			continue
		}
		tmpfs[target] = defaultTmpfsMB
	}
	if slices.ContainsFunc(mounts, func(m VolumeMount) bool { return m.Target == tmpDir }) { // a volume stands in its place
		delete(tmpfs, tmpDir)
	}
	list := make([]berth.Tmpfs, 0, len(tmpfs))
	for target, mb := range tmpfs {
		list = append(list, berth.Tmpfs{Target: target, SizeMB: mb})
	}
	slices.SortFunc(list, func(a, b berth.Tmpfs) int { return strings.Compare(a.Target, b.Target) })
	slices.SortFunc(mounts, func(a, b VolumeMount) int { return strings.Compare(a.Target, b.Target) })
	return mounts, list
}

func (s serviceParser) namedVolume(key string, v types.ServiceVolumeConfig) bool {
	n := s.node
	refuse := func(what string) bool {
		s.add(n, s.path+"."+key, NotSupported, what+" is not passed on", leaveOut)
		return false
	}
	switch {
	case v.Source == "":
		s.invalid(n, s.path+"."+key, "write NAME:/path and declare NAME under volumes", "an anonymous volume would be lost with its container")
		return false
	case s.gone("volumes." + v.Source):
		return false
	case s.root.get("volumes").get(v.Source) == nil:
		s.invalid(n, s.path+"."+key, "declare it under volumes", "there is no volume %s", berth.Quote(v.Source))
		return false
	case v.Volume != nil && v.Volume.NoCopy:
		return refuse("nocopy")
	case v.Volume != nil && v.Volume.Subpath != "":
		return refuse("subpath")
	case v.Bind != nil:
		return refuse("bind")
	case v.Consistency != "":
		return refuse("consistency")
	case v.Volume != nil && len(v.Volume.Labels) > 0:
		return refuse("labels")
	}
	return true
}

func (s serviceParser) scratch(key string, bytes int64) int {
	mb := int((bytes + berth.BytesPerMB - 1) / berth.BytesPerMB)
	if mb < 1 || mb > maxScratchMB {
		s.invalid(s.node, s.path+"."+key, "give a size such as 64m", "%d MB is not from 1 MB to %d MB", mb, maxScratchMB)
	}
	return mb
}

// tmpfs reads PATH or PATH:size=64m,mode=1777.
func (s serviceParser) tmpfs(key, text string) (target string, mb int) {
	target, options, _ := strings.Cut(text, ":")
	mb = defaultTmpfsMB
	for _, o := range strings.Split(options, ",") {
		name, value, _ := strings.Cut(o, "=")
		switch name {
		case "", "rw", "noexec", "nosuid", "nodev", "mode", "uid", "gid":
		case "size":
			bytes, err := units.RAMInBytes(value)
			if err != nil {
				bytes = -1
			}
			mb = s.scratch(key, bytes)
		default:
			s.add(s.node, s.path+"."+key, NotSupported, berth.Quote(o)+" is not passed on", "use size=64m or leave it out")
		}
	}
	return target, mb
}

// unfit says why nothing may be mounted at a path, "" if it may.
func unfit(target string) string {
	switch {
	case !path.IsAbs(target) || path.Clean(target) != target:
		return "is not a clean absolute path"
	case strings.ContainsFunc(target, func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' || r == '$' || r == ',' }):
		return "has a character that a path here can't have"
	case target == "/":
		return "is the root file system"
	}
	for _, own := range []string{"/proc", "/sys", "/dev", "/etc"} {
		if target == own || strings.HasPrefix(target, own+"/") && own != "/etc" {
			return "belongs to the system"
		}
	}
	return ""
}

// mounts refuses volumes that two containers would hold at once.
func (p *parser) mounts(a *App) {
	holders := map[string][]string{}
	for _, s := range a.Services {
		for _, m := range s.Mounts {
			if s.Replicas > 1 && !a.shared(m.Volume) && !m.ReadOnly {
				p.invalid(p.find("services."+s.Name), "services."+s.Name+".deploy.replicas", "use one, or say x-berth.volumes."+m.Volume+".shared: true if the program can share it",
					"%d replicas would hold volume %s at once", s.Replicas, m.Volume)
			}
			holders[m.Volume] = append(holders[m.Volume], s.Name)
		}
	}
	for _, v := range a.Volumes {
		users := slices.Compact(holders[v.Name])
		switch {
		case len(users) > 1 && !v.Shared:
			p.invalid(p.find("volumes."+v.Name), "volumes."+v.Name, "say x-berth.volumes."+v.Name+".shared: true if the programs can share it, or give each a volume",
				"services %s would hold it at once", strings.Join(users, " and "))
		case len(users) == 0 && !p.anyGone("volumes"):
			p.invalid(p.find("volumes."+v.Name), "volumes."+v.Name, "mount it in a service, or leave it out", "no service mounts it")
		}
	}
}
