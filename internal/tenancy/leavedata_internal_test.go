package tenancy

import (
	"context"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// unreadable is a database that tells of volumes, and of blueprints only err.
type unreadable struct {
	store.Volumes
	store.Blueprints
	err error
}

func (u unreadable) ListVolumes(context.Context, string, store.Page) ([]berth.VolumeRecord, string, error) {
	return nil, "", nil
}

func (u unreadable) Blueprint(context.Context, string, int) (v berth.BlueprintVersion, err error) {
	return v, u.err
}

type mountsNothing struct{ Blueprint }

func (mountsNothing) Defaults() berth.BlueprintDefaults { return berth.BlueprintDefaults{} }

// Where it can't be told what a tenant mounted, no order goes on as if that were nothing.
func TestADatabaseThatFailsIsNoBlueprintWithoutData(t *testing.T) {
	for code, refused := range map[berth.Code]bool{berth.CodeStorageUnavailable: true, berth.CodeBlueprintNotFound: false} {
		u := unreadable{err: berth.Errorf(code, "it failed")}
		s := &Service{catalog: store.NewCatalog(func(berth.BlueprintVersion) (Blueprint, error) { return nil, nil })}
		_, err := s.leftBehind(t.Context(), store.Tx{Volumes: u, Blueprints: u}, "", "shop@1", mountsNothing{})
		if berth.Is(err, code) != refused {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func mount(service, target, volume string) berth.BlueprintMount {
	return berth.BlueprintMount{BlueprintPlace: berth.BlueprintPlace{Service: service, Target: target}, Volume: volume}
}

func TestWhereAServiceWouldNotFindItsData(t *testing.T) {
	type mounts = []berth.BlueprintMount
	const pg = "/var/lib/postgresql"
	web := mount("web", "/data", "a")
	redis := mount("redis", "/data", "r")
	for name, c := range map[string]struct {
		made          map[string]string // key to where it was mounted first
		before, after mounts            // nil: not known
		want          string            // service, path and the volume that holds the data; "" for nowhere
	}{
		"as before":                    {map[string]string{"a": "/data"}, mounts{web}, mounts{web}, ""},
		"another volume":               {map[string]string{"a": "/data"}, mounts{web}, mounts{mount("web", "/data", "b")}, "web /data a"},
		"one that a failed order made": {map[string]string{"a": "/data", "b": "/data"}, mounts{web}, mounts{mount("web", "/data", "b")}, "web /data a"},
		"one that is in use there":     {map[string]string{"a": "/data", "b": "/data"}, mounts{mount("web", "/data", "b")}, mounts{mount("web", "/data", "b")}, ""},
		"two that change places":       {map[string]string{"a": "/data", "b": "/old"}, mounts{web, mount("web", "/old", "b")}, mounts{mount("web", "/data", "b"), mount("web", "/old", "a")}, ""},
		"one that is found again":      {map[string]string{"a": "/data"}, nil, mounts{web}, ""},
		"a service and its volume renamed, beside another with that path": {map[string]string{"a": "/data", "r": "/data"},
			mounts{web, redis}, mounts{mount("app", "/data", "b"), redis}, "app /data a"},
		"a service renamed alone":      {map[string]string{"a": "/data", "r": "/data"}, mounts{web, redis}, mounts{mount("app", "/data", "a"), redis}, ""},
		"a service more":               {map[string]string{"a": "/data", "r": "/data"}, mounts{web, redis}, mounts{web, redis, mount("app", "/data", "b")}, ""},
		"a volume inside one":          {map[string]string{"a": pg}, mounts{mount("db", pg, "a")}, mounts{mount("db", pg, "a"), mount("db", pg+"/data", "b")}, "db /var/lib/postgresql/data a"},
		"a tmpfs deep inside one":      {map[string]string{"a": "/var"}, mounts{mount("db", "/var", "a")}, mounts{mount("db", "/var", "a"), mount("db", pg, "")}, "db /var/lib/postgresql a"},
		"in another service":           {map[string]string{"a": pg}, mounts{mount("db", pg, "a")}, mounts{mount("db", pg, "a"), mount("web", pg+"/data", "b")}, ""},
		"a volume above one that goes": {map[string]string{"a": pg + "/data"}, mounts{mount("db", pg+"/data", "a")}, mounts{mount("db", pg, "b")}, "db /var/lib/postgresql a"},
		"above one that stays":         {map[string]string{"a": pg + "/data"}, mounts{mount("db", pg+"/data", "a")}, mounts{mount("db", pg, "b"), mount("db", pg+"/data", "a")}, ""},
		"above another service's":      {map[string]string{"a": pg + "/data"}, mounts{mount("db", pg+"/data", "a")}, mounts{mount("web", pg, "b")}, ""},
		"beside it":                    {map[string]string{"a": pg}, mounts{mount("db", pg, "a")}, mounts{mount("db", pg, "a"), mount("db", pg+"ql", "b")}, ""},
		"one inside that stays":        {map[string]string{"a": pg}, mounts{mount("db", pg, "a"), mount("db", pg+"/run", "")}, mounts{mount("db", pg, "a"), mount("db", pg+"/run", "")}, ""},
		"inside what was a tmpfs":      {map[string]string{"a": "/var"}, mounts{mount("db", "/var", "a"), mount("db", "/var/run", "")}, mounts{mount("db", "/var", "a"), mount("db", "/var/run", ""), mount("db", "/var/run/db", "b")}, ""},
	} {
		var made []berth.VolumeRecord
		for key, at := range c.made {
			made = append(made, berth.VolumeRecord{Name: berth.VolumeName("o", key), Mount: at})
		}
		got := ""
		for _, l := range (comparison{organizationID: "o", made: made, before: c.before, after: c.after, unknown: c.before == nil}).places() {
			got += l.Service + " " + l.Target
			for _, v := range l.volumes {
				got += " " + v
			}
		}
		want := c.want
		if at := strings.LastIndexByte(want, ' '); at > 0 {
			want = want[:at+1] + berth.VolumeName("o", want[at+1:])
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
