package docker_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// volumesOf are the names of the volumes that a container has mounted.
func volumesOf(t *testing.T, id string) (names []string) {
	t.Helper()
	got, err := shared.api.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
	must(t, err)
	for _, m := range got.Container.Mounts {
		names = append(names, m.Name)
	}
	return names
}

func keeping(t *testing.T) berth.Stack {
	s := stack(t)
	s.Services[0].Image = shared.images.Keeps
	return s
}

func TestAnImagesVolumeIsLabelledAndHasNoOtherBesideIt(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	s := keeping(t)
	o, err := e.Apply(t.Context(), s)
	must(t, err)
	name := berth.ImageVolumeName(s.OrganizationID, o.Instances[0].Slot(), "/data")
	if got := volumesOf(t, o.Instances[0].ID); len(got) != 1 || got[0] != name {
		t.Errorf("mounted are %v, not %s alone", got, name)
	}
	labels, ok := (manual{}).Labels(t, "volume", name)
	if !ok || labels[berth.LabelTenantID] != s.OrganizationID || labels[berth.LabelSeal] == "" {
		t.Errorf("its labels are %v", labels)
	}
	bytesOf := map[string]bool{}
	must(t, e.Disk(t.Context(), 0, func(org string, _ int64) { bytesOf[org] = true }))
	if !bytesOf[s.OrganizationID] {
		t.Error("it is not measured")
	}
}

func TestADeliveryOfSecretsLeavesNoVolumeOfTheImage(t *testing.T) {
	t.Parallel()
	s := keeping(t)
	s.Services[0].Secrets = []berth.SecretFile{{Name: "key", Version: "1", Value: "value"}}
	p := newProxy(t)
	o := options()
	o.Host = p.host
	var mu sync.Mutex
	var made, left []string
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/containers/") {
			mu.Lock()
			defer mu.Unlock()
			for _, name := range volumesOf(t, path.Base(r.URL.Path)) {
				if len(name) == 64 {
					made = append(made, name)
				}
			}
		}
		through.ServeHTTP(w, r)
	})
	_, err := open(t, o).Apply(t.Context(), s)
	must(t, err)
	mu.Lock()
	defer mu.Unlock()
	for _, name := range made {
		if _, err := shared.api.VolumeInspect(t.Context(), name, client.VolumeInspectOptions{}); err == nil {
			left = append(left, name)
		}
	}
	if len(made) != 1 || len(left) != 0 {
		t.Errorf("what delivered them had the volumes %v; left are %v", made, left)
	}
}

// A container that an earlier Berth made has a volume that nobody named.
func TestAVolumeThatNobodyNamedIsToldOfAndGoesOnlyByOrder(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	for _, unnamed := range []bool{false, true} {
		s := keeping(t)
		p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
			if strings.HasSuffix(r.URL.Path, "/containers/create") {
				var body map[string]any
				must(t, json.NewDecoder(r.Body).Decode(&body))
				delete(body["HostConfig"].(map[string]any), "Mounts")
				data, err := json.Marshal(body)
				must(t, err)
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
				r.Header.Set("Content-Length", strconv.Itoa(len(data)))
			}
			through.ServeHTTP(w, r)
		})
		seen, err := e.Apply(t.Context(), s)
		must(t, err)
		p.breakWith(nil)
		name := volumesOf(t, seen.Instances[0].ID)[0]
		seen, err = e.Observe(t.Context(), s.OrganizationID)
		must(t, err)
		if len(seen.Foreign) != 1 || seen.Foreign[0].Name != name || seen.Foreign[0].Kind != "volume" || !strings.Contains(seen.Foreign[0].Reason, "service app has it at /data") {
			t.Errorf("foreign %+v, not volume %s", seen.Foreign, name)
		}
		must(t, e.Remove(t.Context(), berth.Removal{OrganizationID: s.OrganizationID, Unnamed: unnamed}))
		_, err = shared.api.VolumeInspect(t.Context(), name, client.VolumeInspectOptions{})
		if (err == nil) == unnamed {
			t.Errorf("ordered gone: %t, and then looking for it gave %v", unnamed, err)
		}
		if !unnamed {
			info, err := open(t, options()).Info(t.Context())
			if err != nil || !slices.ContainsFunc(info.Findings, func(f berth.EngineFinding) bool { return f.Check == "unnamed volumes" && f.OK && f.Hint != "" }) {
				t.Errorf("doctor does not tell of it: %+v, %v", info.Findings, err)
			}
			manual{}.Remove(t, "volume", name)
		}
	}
}
