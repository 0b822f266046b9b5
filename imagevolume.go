package berth

import (
	"fmt"
	"strconv"
	"strings"
)

// imageVolume begins the keys of volumes that no blueprint names.
const imageVolume = "image."

// ImageVolumeName is the name of the volume at a path that an image declares as
// one and that the blueprint mounts nothing at. It is one instance's, whichever
// version stands there: what a program keeps outlives a deployment.
func ImageVolumeName(organizationID string, at Slot, target string) string {
	parts := strings.Split(strings.Trim(target, "/"), "/")
	for i, p := range parts {
		parts[i] = escapedPart(p)
	}
	return VolumeName(organizationID, imageVolume+escapedPart(at.Name)+"."+strconv.Itoa(at.Replica)+"."+strings.Join(parts, "."))
}

// ImageVolumeTarget returns the path that a volume is for; ok is false for every
// volume but those that ImageVolumeName names.
func ImageVolumeTarget(name string) (target string, ok bool) {
	rest, ours := strings.CutPrefix(name, ContainerName(""))
	_, key, parted := strings.Cut(rest, "_")
	key, image := strings.CutPrefix(key, imageVolume)
	parts := strings.SplitN(key, ".", 3) // service, replica, path
	if !ours || !parted || !image || len(parts) < 3 {
		return "", false
	}
	var path strings.Builder
	for _, part := range strings.Split(parts[2], ".") {
		path.WriteByte('/')
		for i := 0; i < len(part); i++ {
			if c, err := strconv.ParseUint(part[min(i+1, len(part)):min(i+3, len(part))], 16, 8); part[i] == '_' && err == nil {
				path.WriteByte(byte(c))
				i += 2
				continue
			}
			path.WriteByte(part[i])
		}
	}
	return path.String(), true
}

// escapedPart writes a name with letters, digits and hyphens only, everything
// else as its bytes.
func escapedPart(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			b.WriteByte(c)
		} else {
			_, _ = fmt.Fprintf(&b, "_%02x", c) // a builder takes everything
		}
	}
	return b.String()
}
