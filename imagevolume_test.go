package berth_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/unite-hub/berth"
)

const orgOfVolumes = "0f1e2d3c-0000-4000-8000-000000000001"

func TestTheNameOfAnImagesVolumeSaysWhereItIsMounted(t *testing.T) {
	name := berth.ImageVolumeName(orgOfVolumes, berth.Slot{Name: "db.main", Replica: 2}, "/var/lib/post gres_ql/data.d")
	if want := "tenant_" + orgOfVolumes + "_image.db_2emain.2.var.lib.post_20gres_5fql.data_2ed"; name != want {
		t.Errorf("named %s, not %s", name, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		target := "/" + strings.Join(rapid.SliceOfN(rapid.StringMatching(`[^/\x00]{1,12}`), 1, 4).Draw(t, "path"), "/")
		at := berth.Slot{Name: rapid.StringMatching(`[a-zA-Z0-9._-]{1,10}`).Draw(t, "service"), Replica: rapid.IntRange(1, 20).Draw(t, "replica")}
		name := berth.ImageVolumeName(orgOfVolumes, at, target)
		if got, ok := berth.ImageVolumeTarget(name); !ok || got != target {
			t.Fatalf("%s is for %q, not %q", name, got, target)
		}
	})
}

func TestABlueprintsVolumeIsNoImages(t *testing.T) {
	for _, name := range []string{berth.VolumeName(orgOfVolumes, "data"), berth.VolumeName(orgOfVolumes, "image"), "image.db.1.data", berth.VolumeName(orgOfVolumes, "image.x")} {
		if target, ok := berth.ImageVolumeTarget(name); ok {
			t.Errorf("%s is for %s", name, target)
		}
	}
}
