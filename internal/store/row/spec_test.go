package row_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

var noon = time.Date(2026, 2, 28, 12, 0, 0, 123456000, time.UTC)

// encoded is v as a store keeps it.
func encoded(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestASpecIsKeptUnderItsNames(t *testing.T) {
	s := berth.Spec{
		ImageTag: "v1", ImageDigest: "sha256:1", Images: map[string]string{"web": "ghcr.io/web@sha256:2"}, Blueprint: "single@1", Release: 3,
		Limits: berth.Limits{CPU: 1.5, MemoryMB: 512, DiskMB: 1024}, Replicas: 2, InternalPort: 3000, Environment: map[string]string{"KEY": "id"},
	}
	const want = `{"imageTag":"v1","imageDigest":"sha256:1","images":{"web":"ghcr.io/web@sha256:2"},"blueprint":"single@1","release":3,` +
		`"cpuLimit":1.5,"memoryLimitMb":512,"diskLimitMb":1024,"replicas":2,"internalPort":3000,"environment":{"KEY":"id"}}`
	text := encoded(t, row.NewSpec(s))
	if text != want {
		t.Errorf("kept as %s\nwant %s", text, want)
	}
	if got, err := row.ParseSpec(text); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("read back as %+v, %v; want %+v", got, err, s)
	}
}

func TestASpecOfBeforeImagesAndReleasesIsRead(t *testing.T) {
	got, err := row.ParseSpec(`{"imageTag":"v1","blueprint":"single@1","cpuLimit":1,"memoryLimitMb":2,"diskLimitMb":3,"replicas":1,"internalPort":0,"environment":null}`)
	want := berth.Spec{
		ImageTag: "v1", Blueprint: "single@1", Limits: berth.Limits{CPU: 1, MemoryMB: 2, DiskMB: 3}, Replicas: 1,
		Images: map[string]string{}, Environment: map[string]string{},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read as %#v, %v; want %#v", got, err, want)
	}
}

func TestASpecWithoutVariablesKeepsAnEmptyMap(t *testing.T) {
	const want = `{"imageTag":"","blueprint":"","cpuLimit":0,"memoryLimitMb":0,"diskLimitMb":0,"replicas":0,"internalPort":0,"environment":{}}`
	if text := encoded(t, row.NewSpec(berth.Spec{})); text != want {
		t.Errorf("kept as %s\nwant %s", text, want)
	}
}

func TestStepsAreKeptUnderTheirNamesInTheirOrder(t *testing.T) {
	list := []berth.DeploymentStep{
		{Name: "pull", StartedAt: noon, EndedAt: noon.Add(time.Second)},
		{Name: "start", StartedAt: noon.Add(time.Second), EndedAt: noon.Add(time.Minute), Error: "no such image"},
	}
	const want = `[{"name":"pull","startedAt":"2026-02-28T12:00:00.123456Z","endedAt":"2026-02-28T12:00:01.123456Z"},` +
		`{"name":"start","startedAt":"2026-02-28T12:00:01.123456Z","endedAt":"2026-02-28T12:01:00.123456Z","error":"no such image"}]`
	text := encoded(t, row.NewSteps(list))
	if text != want {
		t.Errorf("kept as %s\nwant %s", text, want)
	}
	if got, err := row.ParseSteps(text); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("read back as %+v, %v; want %+v", got, err, list)
	}
}

func TestNamesAreNeverNil(t *testing.T) {
	if text := encoded(t, row.Names(nil)); text != "{}" {
		t.Errorf("kept as %s", text)
	}
	if m, err := row.ParseNames("null"); err != nil || m == nil {
		t.Errorf("read as %#v, %v", m, err)
	}
	if m, err := row.ParseNames(`{"KEY":"id"}`); err != nil || !reflect.DeepEqual(m, map[string]string{"KEY": "id"}) {
		t.Errorf("read as %#v, %v", m, err)
	}
}

func TestWhatIsNotItsJSONIsNotRead(t *testing.T) {
	for name, parse := range map[string]func(string) error{
		"spec":     func(s string) error { _, err := row.ParseSpec(s); return err },
		"steps":    func(s string) error { _, err := row.ParseSteps(s); return err },
		"names":    func(s string) error { _, err := row.ParseNames(s); return err },
		"counters": func(s string) error { _, err := row.ParseCounters(s); return err },
	} {
		for _, text := range []string{"", `"text"`, `{"name`} {
			if parse(text) == nil {
				t.Errorf("%s: %s is read", name, text)
			}
		}
	}
}
