package blueprint_test

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
)

var update = flag.Bool("update", false, "write the golden files anew")

const org = "550e8400-e29b-41d4-a716-446655440001"

func tenant(name string) berth.Tenant {
	return berth.Tenant{
		OrganizationID: org, Name: name, Slug: "acme", Subnet: netip.MustParsePrefix("10.64.0.0/28"), ExternalPort: 3001,
		URL: "http://localhost:3001", Want: berth.WantRunning, Generation: 1,
		Spec: berth.Spec{
			ImageTag: "latest", ImageDigest: "sha256:" + strings.Repeat("a", 64), Blueprint: "builtin@1",
			Limits: berth.DefaultLimits(), Replicas: 1, InternalPort: 3000,
		},
	}
}

// builtin is the blueprint that comes with Berth.
func builtin(t testing.TB) *blueprint.Blueprint {
	t.Helper()
	b, err := blueprint.New(berth.BlueprintVersion{Name: berth.BuiltinBlueprint, Version: 1, Source: blueprint.BuiltinSource()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	secretive := tenant("Acme Corp")
	secretive.Spec.Environment = map[string]string{"DATABASE_URL": "version-1", "GREETING": "version-2"}
	wide := tenant(`O'Brien & "Söhne": <b> 🚢 ${X} $1 #!`)
	wide.Spec.Replicas, wide.Spec.Limits = 3, berth.Limits{CPU: 4, MemoryMB: 8192, DiskMB: 4096}
	wide.URL, wide.Spec.ImageTag = "http://tenants.example.com:3001", "registry.example.com/app:v2"
	wide.Spec.ImageDigest = "registry.example.com/app@sha256:" + strings.Repeat("b", 64)
	small := tenant("Small")
	small.Spec.Limits, small.Want = berth.Limits{CPU: 0.1, MemoryMB: 256, DiskMB: 1024}, berth.WantStopped
	for name, tn := range map[string]berth.Tenant{
		"default": tenant("Acme Corp"), "environment": secretive, "replicas": wide, "small": small,
	} {
		env := map[string]string{}
		for k := range tn.Spec.Environment {
			env[k] = "value of " + k
		}
		stack, err := builtin(t).Stack(tn, env, []string{berth.VolumeName(org, "logs")}, 2)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := json.MarshalIndent(stack, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".stack.json", append(shown, '\n'))
		file, err := builtin(t).Compose(tn, 0)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".compose.yml", file)
		if strings.Contains(string(file), "value of") {
			t.Errorf("%s: a value of the tenant's own environment is in the file", name)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s differs (make golden writes it anew); got:\n%s", name, got)
	}
}

// A rendered file, as compose reads it.
type rendered struct {
	Services map[string]struct {
		ContainerName string `yaml:"container_name"`
		Environment   map[string]string
		Labels        map[string]string
		Deploy        struct {
			Resources struct{ Reservations struct{ CPUs, Memory string } }
		}
		CPUs     float64
		Networks map[string]any
		Image    string
	}
	Volumes  map[string]struct{ Name string }
	Networks map[string]any
}

func parse(t *testing.T, tn berth.Tenant) rendered {
	t.Helper()
	data, err := builtin(t).Compose(tn, 0)
	if err != nil {
		t.Fatal(err)
	}
	var r rendered
	if err := yaml.Unmarshal(data, &r); err != nil {
		t.Fatalf("%v in:\n%s", err, data)
	}
	return r
}

// Seed fault 1: whatever the name, it is a value and nothing else.
func FuzzANameNeverBecomesSyntax(f *testing.F) {
	for _, name := range []string{"Acme", "a: b", "\"'`", "${HOME}", "$$", "- x", "!!binary aGk=", "#", "  x  ", "\u202eevil", "{a: 1}", "*a", "&a", "%", "yes", "0x10", "~", "|", ">", "a\u2028b", "a\u0085b", "\ufeffx"} {
		f.Add(name)
	}
	plain := tenant("plain")
	f.Fuzz(func(t *testing.T, name string) {
		if berth.ValidateName(name) != nil {
			return
		}
		got, want := parse(t, tenant(name)), parse(t, plain)
		app := got.Services["app"]
		for where, value := range map[string]string{"environment": app.Environment["TENANT_NAME"], "label": app.Labels[berth.LabelTenantName]} {
			if back := strings.ReplaceAll(value, "$$", "$"); back != name {
				t.Errorf("%s: %q came back as %q", where, name, back)
			}
			if strings.Contains(strings.ReplaceAll(value, "$$", ""), "$") {
				t.Errorf("%s: a dollar sign of %q is left to compose", where, name)
			}
		}
		app.Environment["TENANT_NAME"], app.Labels[berth.LabelTenantName] = "plain", "plain"
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q reached another field: %+v", name, got)
		}
	})
}

// Seed fault 7.
func TestTheTraefikRuleNamesAHostNotAURL(t *testing.T) {
	if got := parse(t, tenant("x")).Services["app"].Labels["traefik.http.routers.tenant_"+org+".rule"]; got != "Host(`localhost`)" {
		t.Errorf("rule %q", got)
	}
}

// Seed fault 10.
func TestNoReservationIsAboveItsLimit(t *testing.T) {
	tn := tenant("x")
	tn.Spec.Limits = berth.Limits{CPU: 0.1, MemoryMB: 256, DiskMB: 1024}
	app := parse(t, tn).Services["app"]
	if r := app.Deploy.Resources.Reservations; r.CPUs != "0.10" || r.Memory != "256M" || app.CPUs != 0.1 {
		t.Errorf("reservations %+v, limit %v", r, app.CPUs)
	}
}

// Seed fault 19.
func TestATenantJoinsItsOwnNetworkOnly(t *testing.T) {
	r := parse(t, tenant("x"))
	if len(r.Networks) != 1 || len(r.Services["app"].Networks) != 1 {
		t.Errorf("networks %v, the service's %v", r.Networks, r.Services["app"].Networks)
	}
}

func TestFilesAreReplacedWholeAndRemovedAlone(t *testing.T) {
	dir := t.TempDir()
	files, err := blueprint.NewFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = files.Close() }()
	want := filepath.Join(dir, "docker", "tenants", "tenant_"+org, "docker-compose.yml")
	if files.Path(org) != want {
		t.Errorf("path %s, want %s", files.Path(org), want)
	}
	for _, content := range []string{"a", "a", "bc"} {
		if err := files.Write(org, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(want); err != nil || string(got) != content {
			t.Errorf("%q, %v", got, err)
		}
	}
	if info, err := os.Stat(want); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for range 2 {
		if err := files.Remove(org); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Dir(want)); !os.IsNotExist(err) {
		t.Error("the directory is left")
	}
}

func TestALinkInTheWayIsNotFollowed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	files, err := blueprint.NewFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = files.Close() }()
	if err := os.Symlink(outside, filepath.Join(dir, "docker", "tenants", "tenant_"+org)); err != nil {
		t.Fatal(err)
	}
	if err := files.Write(org, []byte("x")); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("written through a link: %v", err)
	}
	if left, _ := os.ReadDir(outside); len(left) != 0 {
		t.Errorf("outside there is %v", left)
	}
	const other = "550e8400-e29b-41d4-a716-446655440002"
	tenants := filepath.Join(dir, "docker", "tenants")
	if err := files.Write(other, []byte("other's")); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"tenant_" + org: "tenant_" + other} {
		if err := os.Remove(filepath.Join(tenants, link)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(tenants, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Write(org, []byte("x")); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("written through a link to another tenant: %v", err)
	}
	if got, err := os.ReadFile(files.Path(other)); err != nil || string(got) != "other's" {
		t.Errorf("the other tenant's file holds %q, %v", got, err)
	}
}
