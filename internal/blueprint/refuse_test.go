package blueprint_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/unite-hub/berth/internal/blueprint"
)

// minimal is the least that is a blueprint; more is put into service web.
const minimal = `name: shop
services:
  web:
    image: shop:1
    user: "1000:1000"
%s
x-berth: {service: web, port: 3000%s}
`

func inWeb(lines ...string) string {
	for i := range lines {
		lines[i] = "    " + lines[i]
	}
	return fmt.Sprintf(minimal, strings.Join(lines, "\n"), "")
}

func TestTheLeastThatIsABlueprintIsRead(t *testing.T) {
	if _, findings := blueprint.Parse([]byte(inWeb())); len(findings) > 0 {
		t.Error(show(findings))
	}
}

// What security.md forbids, and what else the wall between tenants stands on:
// each is refused at its path.
func TestWhatWouldWeakenIsolationIsRefused(t *testing.T) {
	for what, c := range map[string]struct{ yaml, path string }{
		"a user that is root again":  {`user: "4294967296:1"`, "services.web.user"},
		"a group that is root again": {`user: "1:4294967296"`, "services.web.user"},
		"a user of no kernel":        {`user: "2147483648:1"`, "services.web.user"},
		"a user beyond all":          {`user: "99999999999999999999:1"`, "services.web.user"},
		"a tmpfs over secrets":       {"tmpfs: [/run/secrets]", "services.web.tmpfs"},
		"a long tmpfs over secrets":  {"volumes: [{type: tmpfs, target: /run/secrets/x}]", "services.web.tmpfs"},
		"privileged":                 {"privileged: true", "services.web.privileged"},
		"a bind mount":               {"volumes: [\"/srv:/data\"]", "services.web.volumes[0]"},
		"a relative bind mount":      {"volumes: [\"./srv:/data\"]", "services.web.volumes[0]"},
		"a home bind mount":          {"volumes: [\"~/srv:/data\"]", "services.web.volumes[0]"},
		"a bind in long form":        {"volumes: [{type: bind, source: /srv, target: /data}]", "services.web.volumes[0]"},
		"the engine's socket":        {"volumes: [\"/var/run/docker.sock:/var/run/docker.sock\"]", "services.web.volumes[0]"},
		"the API socket by name":     {"use_api_socket: true", "services.web.use_api_socket"},
		"a named pipe":               {"volumes: [{type: npipe, source: a, target: /data}]", "services.web.volumes[0]"},
		"volumes of others":          {"volumes_from: [db]", "services.web.volumes_from"},
		"a device":                   {"devices: [\"/dev/kvm:/dev/kvm\"]", "services.web.devices"},
		"device rules":               {"device_cgroup_rules: [\"c 1:3 mr\"]", "services.web.device_cgroup_rules"},
		"a reserved device":          {"deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}", "services.web.deploy.resources.reservations.devices"},
		"sysctls":                    {"sysctls: {kernel.shmmax: 1}", "services.web.sysctls"},
		"the host's processes":       {"pid: host", "services.web.pid"},
		"the host's name":            {"uts: host", "services.web.uts"},
		"the host's shared memory":   {"ipc: host", "services.web.ipc"},
		"the host's users":           {"userns_mode: host", "services.web.userns_mode"},
		"the host's cgroup":          {"cgroup: host", "services.web.cgroup"},
		"a cgroup parent":            {"cgroup_parent: x", "services.web.cgroup_parent"},
		"the host's network":         {"network_mode: host", "services.web.network_mode"},
		"another's network":          {"network_mode: \"container:x\"", "services.web.network_mode"},
		"a port of the host":         {"ports: [\"3000:3000\"]", "services.web.ports[0]"},
		"root":                       {"user: root", "services.web.user"},
		"root by number":             {"user: \"0\"", "services.web.user"},
		"root by many noughts":       {"user: \"000:1000\"", "services.web.user"},
		"root's group":               {"user: \"1000:0\"", "services.web.user"},
		"a name that may be root":    {"user: app", "services.web.user"},
		"a group that may be root's": {"user: \"1000\"", "services.web.user"},
		"root's group, further":      {"group_add: [\"0\"]", "services.web.group_add"},
		"any capability":             {"cap_add: [SYS_ADMIN]", "services.web.cap_add"},
		"a confined profile's end":   {"security_opt: [\"seccomp:unconfined\"]", "services.web.security_opt[0]"},
		"apparmor's end":             {"security_opt: [\"apparmor=unconfined\"]", "services.web.security_opt[0]"},
		"labels' end":                {"security_opt: [\"label:disable\"]", "services.web.security_opt[0]"},
		"a writable root":            {"read_only: false", "services.web.read_only"},
		"another runtime":            {"runtime: x", "services.web.runtime"},
		"no end on memory pressure":  {"oom_kill_disable: true", "services.web.oom_kill_disable"},
		"others' end before mine":    {"oom_score_adj: -1000", "services.web.oom_score_adj"},
		"real-time processes":        {"cpu_rt_runtime: 1000", "services.web.cpu_rt_runtime"},
		"hosts outside":              {"extra_hosts: [\"a:10.0.0.1\"]", "services.web.extra_hosts"},
		"links outside":              {"external_links: [other]", "services.web.external_links"},
		"another resolver":           {"dns: 8.8.8.8", "services.web.dns"},
		"an address":                 {"networks: {default: {ipv4_address: 10.0.0.9}}", "services.web.networks.default.ipv4_address"},
		"files of the host":          {"env_file: /etc/passwd", "services.web.env_file"},
		"labels of the host":         {"label_file: /etc/passwd", "services.web.label_file"},
		"another file":               {"extends: {file: /etc/x.yml, service: y}", "services.web.extends"},
		"Berth's own labels":         {"labels: {com.unite-hub.tenant.id: x}", "services.web.labels.com.unite-hub.tenant.id"},
		"compose's own labels":       {"labels: {com.docker.compose.project: x}", "services.web.labels.com.docker.compose.project"},
		"another tenant's id":        {"environment: {TENANT_ID: \"550e8400-e29b-41d4-a716-446655440009\"}", "services.web.environment.TENANT_ID"},
		"a mount over the system":    {"tmpfs: [/proc]", "services.web.tmpfs[0]"},
		"a mount over devices":       {"tmpfs: [/dev/shm]", "services.web.tmpfs[0]"},
		"a mount over the root":      {"tmpfs: [\"/\"]", "services.web.tmpfs[0]"},
		"a path that climbs":         {"tmpfs: [/data/../etc]", "services.web.tmpfs[0]"},
	} {
		source := inWeb(c.yaml)
		if strings.HasPrefix(c.yaml, "user:") {
			source = strings.Replace(source, "    user: \"1000:1000\"\n", "", 1)
		}
		_, findings := blueprint.Parse([]byte(source))
		if !slices.ContainsFunc(findings, func(f blueprint.Finding) bool { return f.Path == c.path && f.Hint != "" && f.Line > 0 }) {
			t.Errorf("%s: wanted a finding at %s, got\n%s", what, c.path, show(findings))
		}
	}
	for what, c := range map[string]struct{ more, path string }{
		"another network":       {"networks: {shared: {external: true}}", "networks.shared.external"},
		"a volume of others":    {"volumes: {data: {external: true}}", "volumes.data.external"},
		"a volume that is /":    {"volumes: {data: {driver_opts: {type: none, o: bind, device: /}}}", "volumes.data.driver_opts"},
		"a volume by name":      {"volumes: {data: {name: tenant_other_data}}", "volumes.data.name"},
		"another file":          {"include: [/etc/x.yml]", "include"},
		"a capability too many": {"x-berth: {service: web, port: 3000, capabilities: {web: [NET_ADMIN]}}", "x-berth.capabilities.web[0]"},
		"the way outside":       {"x-berth: {service: web, port: 3000, egress: [10.0.0.0/8]}", "x-berth.egress"},
		"a secret in the file":  {"x-berth: {service: web, port: 3000, variables: {A: {secret: true, default: x}}}", "x-berth.variables.A.default"},
	} {
		source := inWeb()
		if strings.HasPrefix(c.more, "x-berth") {
			source = source[:strings.Index(source, "x-berth")]
		}
		_, findings := blueprint.Parse([]byte(source + c.more + "\n"))
		if !slices.ContainsFunc(findings, func(f blueprint.Finding) bool { return f.Path == c.path && f.Hint != "" }) {
			t.Errorf("%s: wanted a finding at %s, got\n%s", what, c.path, show(findings))
		}
	}
}

// Whatever way a path is written: nothing of a tenant's stands where secrets are.
func TestNothingIsMountedWhereSecretsAre(t *testing.T) {
	const source = `name: shop
services:
  web:
    image: shop:1
    user: "1000:1000"
    %s
%s
volumes: {data: {}}
x-berth: {service: web, port: 3000}
`
	const secrets = "    secrets: [key]"
	for _, kind := range []string{"volumes: [\"data:%s\"]", "volumes: [{type: volume, source: data, target: \"%s\"}]", "tmpfs: [\"%s\"]", "volumes: [{type: tmpfs, target: \"%s\"}]"} {
		for target, c := range map[string]struct{ alone, beside bool }{ // whether it is taken without secrets, and with them
			"/run/secrets": {}, "/run/secrets/db": {}, "/run/secrets/": {}, "/run//secrets": {}, "/run/./secrets": {}, "/srv/../run/secrets": {},
			"/var/run/secrets": {}, "/var/run/secrets/db": {}, "run/secrets": {},
			"/run": {alone: true}, "/var/run": {alone: true},
			"/run/app": {true, true}, "/run/secrets-of-mine": {true, true}, "/data": {true, true},
		} {
			for with, want := range map[string]bool{"": c.alone, secrets: c.beside} {
				text := fmt.Sprintf(source, fmt.Sprintf(kind, target), with)
				if with != "" {
					text += "secrets: {key: {environment: KEY}}\n"
				}
				_, findings := blueprint.Parse([]byte(text))
				findings = slices.DeleteFunc(findings, func(f blueprint.Finding) bool { return f.Path == "volumes.data" }) // not mounted
				if (len(findings) == 0) != want {
					t.Errorf(kind+", secrets %v: taken %v, want %v:\n%s", target, with != "", len(findings) == 0, want, show(findings))
				}
			}
		}
	}
}

func TestAllFindingsComeAtOnceInTheOrderOfTheFile(t *testing.T) {
	_, findings := blueprint.Parse([]byte(`name: Shop!
services:
  web:
    image: shop:1
    user: "0"
    privileged: true
    ports: ["8080:3000"]
    memry: 5
  db:
    image: db:1
    user: "999:999"
    network_mode: host
    volumes: ["/srv:/data"]
networks:
  shared: {external: true}
x-berth:
  service: web
  port: 3000
  healt: {path: /}
`))
	want := `1 name: invalid: "Shop!" is not a name for a blueprint (use 1 to 40 of a-z, 0-9 and -, such as shop)
5 services.web.user: forbidden: the service would run as root (name user and group by numbers other than 0, such as "65532:65532")
6 services.web.privileged: forbidden: a privileged container owns the host and all other tenants (ask for single capabilities in x-berth.capabilities)
7 services.web.ports[0]: forbidden: two tenants can't both have port 8080 of the host (write "${EXTERNAL_PORT}:3000" or "3000": each tenant gets a port of its own)
8 services.web.memry: invalid: is not an attribute of the Compose Specification (see docs/blueprint.md for what there is)
12 services.db.network_mode: forbidden: a tenant in another network reaches others (leave it out: every tenant has a network of its own)
13 services.db.volumes[0]: forbidden: mounts "/srv" of the host, which all tenants would share (use a named volume, or put the file into the image)
15 networks.shared.external: forbidden: tenants in one network reach each other (leave it out: every tenant has a network of its own)
19 x-berth.healt: invalid: is not a key of x-berth (did you mean health?)
`
	if got := show(findings); got != want {
		t.Errorf("got\n%s", got)
	}
}

// Each row of the table that is not honoured, with its own sample.
func TestEveryAttributeThatIsNotHonouredIsRefusedByItsPath(t *testing.T) {
	for _, row := range blueprint.Attributes() {
		if row.Kind == "" {
			continue
		}
		var value any
		if err := yaml.Unmarshal([]byte(row.Sample), &value); err != nil || row.Note == "" || row.Way == "" {
			t.Fatalf("%s: sample %q: %v; note %q, way %q", row.Path, row.Sample, err, row.Note, row.Way)
		}
		var file map[string]any
		if err := yaml.Unmarshal([]byte(inWeb()), &file); err != nil {
			t.Fatal(err)
		}
		keys := strings.Split(row.Path, ".")
		for i, k := range keys {
			if k == "*" {
				keys[i] = map[bool]string{true: "web", false: "x"}[i == 1 && keys[0] == "services"]
			}
		}
		at := file
		for i, k := range keys[:len(keys)-1] {
			if name, item := strings.CutSuffix(k, "[]"); item {
				next := map[string]any{}
				at[name], keys[i] = []any{next}, name+"[0]"
				at = next
				continue
			}
			next, ok := at[k].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[k] = next
			}
			at = next
		}
		at[keys[len(keys)-1]] = value
		source, err := yaml.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		path := strings.Join(keys, ".")
		_, findings := blueprint.Parse(source)
		if !slices.ContainsFunc(findings, func(f blueprint.Finding) bool { return f.Path == path && f.Kind == row.Kind }) && row.Sample != "[]" {
			t.Errorf("%s: wanted %s at %s, got\n%s", row.Sample, row.Kind, path, show(findings))
		}
	}
}

// The table knows every attribute of the specification's own schema, so that
// an update of compose-go can't slip one past it.
func TestTheTableKnowsTheWholeSpecification(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/compose-spec/compose-go/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	data := read(t, filepath.Join(strings.TrimSpace(string(dir)), "schema", "compose-spec.json"))
	var schema struct {
		Properties map[string]any
		Defs       map[string]struct{ Properties map[string]any } `json:"$defs"`
		OldDefs    map[string]struct{ Properties map[string]any } `json:"definitions"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Defs == nil {
		schema.Defs = schema.OldDefs
	}
	rows := map[string]bool{}
	for _, row := range blueprint.Attributes() {
		rows[row.Path] = true
	}
	check := func(prefix string, properties map[string]any) {
		if len(properties) == 0 {
			t.Errorf("the schema has nothing at %s: it was rearranged", prefix)
		}
		for name := range properties {
			if !rows[prefix+name] {
				t.Errorf("the table has no row for %s", prefix+name)
			}
		}
	}
	check("", schema.Properties)
	for prefix, def := range map[string]string{
		"services.*.": "container_spec", "services.*.deploy.": "deployment", "services.*.healthcheck.": "healthcheck",
		"networks.*.": "network", "volumes.*.": "volume",
	} {
		check(prefix, schema.Defs[def].Properties)
	}
	check("services.*.", schema.Defs["service"].Properties)
	check("services.*.", schema.Defs["workload_spec"].Properties)
}

// Files that are refused, each with all that is said of it.
func TestGoldenRefusals(t *testing.T) {
	paths, err := filepath.Glob("testdata/refused/*.yml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		_, findings := blueprint.Parse(read(t, path))
		golden(t, filepath.Join("refused", strings.TrimSuffix(filepath.Base(path), ".yml")+".txt"), []byte(show(findings)))
	}
}
