package blueprint

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/pattern"
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
		if drive := driveOf(v); drive != "" {
			if !s.gone("volumes." + drive) { // one that is declared was refused there
				s.invalid(s.node, s.path+"."+key, "name the volume with 2 letters or more", "%s is a drive of Windows to compose, not a volume", drive+":")
			}
			continue
		}
		switch v.Type {
		case types.VolumeTypeVolume:
			if s.namedVolume(key, v, s.at("volumes").items[i]) && take(key, v.Target) {
				mounts = append(mounts, VolumeMount{Volume: v.Source, Target: v.Target, ReadOnly: v.ReadOnly})
			}
		case types.VolumeTypeTmpfs:
			mb := s.longTmpfs(key, v, s.at("volumes").items[i])
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

var drive = pattern.Of(`^([A-Za-z]):[^:\\]+(:[A-Za-z,]*)?$`)

// driveOf is the name of a volume of one letter, such as v in v:/data:ro: compose takes
// it for a drive of Windows, and what follows for a path on it. "" where a path of the
// host is meant, as in C:/data:/data.
func driveOf(v types.ServiceVolumeConfig) string {
	text := v.Target
	switch {
	case strings.Contains(v.Source, ":"):
		text = v.Source + ":" + v.Target
	case v.Source != "":
		return "" // a name, and what is mounted where is told apart
	}
	if m := drive().FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

func (s serviceParser) namedVolume(key string, v types.ServiceVolumeConfig, n *node) bool {
	refuse := func(what string) bool {
		s.add(s.node, s.path+"."+key, NotSupported, what+" is not passed on", leaveOut)
		return false
	}
	long := n.isMap // then the table says what is not passed on
	if v.Tmpfs != nil && (v.Tmpfs.Size != 0 || v.Tmpfs.Mode != 0) {
		s.addNew(n, s.path+"."+key+".tmpfs", Invalid, "is of a mount of type tmpfs, and this one is of type volume", leaveOut)
	}
	switch {
	case s.gone(s.path + "." + key + ".source"):
		return false
	case v.Source == "":
		s.invalid(n, s.path+"."+key, "write NAME:/path and declare NAME under volumes", "an anonymous volume would be lost with its container")
		return false
	case s.gone("volumes." + v.Source):
		return false
	case s.root.get("volumes").get(v.Source) == nil:
		s.invalid(n, s.path+"."+key, "declare it under volumes", "there is no volume %s", berth.Quote(v.Source))
		return false
	case long:
	case v.Volume != nil && v.Volume.NoCopy:
		return refuse("nocopy")
	case v.Bind != nil:
		return refuse("bind")
	case v.Consistency != "":
		return refuse("consistency")
	}
	return true
}

// tmpfsMode is what every tmpfs has: user and group of a service are no
// business of the mount.
const tmpfsMode = 0o1777

// longTmpfs is the size of a tmpfs that stands among the volumes.
func (s serviceParser) longTmpfs(key string, v types.ServiceVolumeConfig, n *node) (mb int) {
	path := s.path + "." + key
	if v.ReadOnly {
		s.addNew(n, path+".read_only", NotSupported, "a tmpfs that can't be written would stay empty", leaveOut)
	}
	if v.Source != "" {
		s.addNew(n, path+".source", Invalid, "a tmpfs is empty at first and comes from nowhere", leaveOut)
	}
	if v.Tmpfs == nil {
		return defaultTmpfsMB
	}
	if v.Tmpfs.Mode != 0 && v.Tmpfs.Mode != tmpfsMode {
		s.addNew(n, path+".tmpfs.mode", NotSupported, fmt.Sprintf("%#o is not passed on: every tmpfs is %#o", v.Tmpfs.Mode, tmpfsMode), leaveOut)
	}
	if v.Tmpfs.Size > 0 {
		return s.scratch(key, int64(v.Tmpfs.Size))
	}
	if n.get("tmpfs").get("size") != nil {
		s.addNew(n, path+".tmpfs.size", NotSupported, "a tmpfs without a limit would take all of the memory", "give a size such as 64m")
	}
	return defaultTmpfsMB
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
		case "", "rw", "noexec", "nosuid", "nodev":
		case "mode", "uid", "gid":
			if mode, err := strconv.ParseUint(value, 8, 32); name != "mode" || err != nil || mode != tmpfsMode {
				s.addNew(s.node, s.path+"."+key, NotSupported, berth.Quote(o)+" is not passed on: every tmpfs is mode=1777, whoever the service runs as", "use size=64m or leave it out")
			}
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
				key := "deploy.replicas"
				if p.find("services."+s.Name).get("scale") != nil {
					key = "scale"
				}
				p.invalid(p.find("services."+s.Name), "services."+s.Name+"."+key, "use one, or say x-berth.volumes."+m.Volume+".shared: true if the program can share it",
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
