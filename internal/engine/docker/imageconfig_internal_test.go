package docker

import (
	"testing"

	"github.com/unite-hub/berth"
)

// Seen on Engine 20.10: a volume at /var/run/secrets was mounted as it was declared.
func TestAnImageHasNoVolumeWhereSecretsAre(t *testing.T) {
	for _, c := range []struct {
		volume  string
		refused bool
	}{
		{"/var/run/secrets", true}, {"/var/run//secrets/", true}, {"/run/secrets/x", true}, {"/run/./secrets/x", true}, {"var/run/secrets/x", true}, {"/var/./run/secrets", true},
		{"/run/secrets", false}, {"/run//secrets/", false}, {"/run", false}, {"/var/run", false}, {"/run/secretsx", false}, {"/data", false}, {"/x/run/secrets", false},
	} {
		with := &berth.Service{Image: "i", Secrets: []berth.SecretFile{{Name: "key"}}}
		err := checkImageVolumes(with, map[string]struct{}{"/data": {}, c.volume: {}})
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", c.volume, err)
		}
		if err := checkImageVolumes(&berth.Service{Image: "i"}, map[string]struct{}{c.volume: {}}); err != nil {
			t.Errorf("%s, without secrets: %v", c.volume, err)
		}
	}
}
