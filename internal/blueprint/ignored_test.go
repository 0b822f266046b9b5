package blueprint_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
)

// What older versions did not notice. Parse and Examine refuse it; a blueprint
// that was stored with it is read as it always was: as if it were not there.
func TestWhatWasOnceIgnoredIsRefusedButDoesNotStopAStoredBlueprint(t *testing.T) {
	const own = "service: web, port: 3000"
	for what, c := range map[string]struct {
		web, same string // lines of service web, and those that say the same without
		own, rest string
		path      string
	}{
		"a port's name":                 {web: "ports: [{target: 3000, name: web}]", same: `ports: ["3000"]`, path: "services.web.ports[0].name"},
		"a port's protocol above TCP":   {web: "ports: [{target: 3000, app_protocol: http2}]", same: `ports: ["3000"]`, path: "services.web.ports[0].app_protocol"},
		"a port's mode":                 {web: "ports: [{target: 3000, mode: global}]", same: `ports: ["3000"]`, path: "services.web.ports[0].mode"},
		"a tmpfs' mode":                 {web: "tmpfs: [\"/a:mode=0700\"]", same: "tmpfs: [/a]", path: "services.web.tmpfs[0]"},
		"a tmpfs' user":                 {web: "tmpfs: [\"/a:uid=1000\"]", same: "tmpfs: [/a]", path: "services.web.tmpfs[0]"},
		"a tmpfs' group":                {web: "tmpfs: [\"/a:size=64m,gid=1000\"]", same: "tmpfs: [/a]", path: "services.web.tmpfs[0]"},
		"a long tmpfs' mode":            {web: "volumes: [{type: tmpfs, target: /a, tmpfs: {mode: 0700}}]", same: "tmpfs: [/a]", path: "services.web.volumes[0].tmpfs.mode"},
		"a long tmpfs without a limit":  {web: "volumes: [{type: tmpfs, target: /a, tmpfs: {size: 0}}]", same: "tmpfs: [/a]", path: "services.web.volumes[0].tmpfs.size"},
		"a long tmpfs that is read":     {web: "volumes: [{type: tmpfs, target: /a, read_only: true}]", same: "tmpfs: [/a]", path: "services.web.volumes[0].read_only"},
		"a long tmpfs from somewhere":   {web: "volumes: [{type: tmpfs, source: data, target: /a}]", same: "tmpfs: [/a]", path: "services.web.volumes[0].source"},
		"a long tmpfs that is a volume": {web: "volumes: [{type: tmpfs, target: /a, volume: {nocopy: true}}]", same: "tmpfs: [/a]", path: "services.web.volumes[0].volume.nocopy"},
		"a long tmpfs that is bound":    {web: "volumes: [{type: tmpfs, target: /a, bind: {propagation: shared}}]", same: "tmpfs: [/a]", path: "services.web.volumes[0].bind"},
		"a long tmpfs' consistency":     {web: "volumes: [{type: tmpfs, target: /a, consistency: cached}]", same: "tmpfs: [/a]", path: "services.web.volumes[0].consistency"},
		"a volume that is a tmpfs": {web: "volumes: [{type: volume, source: data, target: /a, tmpfs: {size: 64m}}]", same: "volumes: [\"data:/a\"]",
			rest: "volumes: {data: {}}", path: "services.web.volumes[0].tmpfs"},
		"two limits of cores":       {web: "cpus: 0.1\n    deploy: {resources: {limits: {cpus: '0.2'}}}", same: "cpus: 0.2", path: "services.web.cpus"},
		"two limits of memory":      {web: "mem_limit: 128m\n    deploy: {resources: {limits: {memory: 256m}}}", same: "mem_limit: 256m", path: "services.web.mem_limit"},
		"two limits of processes":   {web: "pids_limit: 10\n    deploy: {resources: {limits: {pids: 20}}}", same: "pids_limit: 20", path: "services.web.pids_limit"},
		"two reservations":          {web: "mem_reservation: 10m\n    deploy: {resources: {reservations: {memory: 20m}}}", same: "mem_reservation: 20m", path: "services.web.mem_reservation"},
		"no limit of processes":     {web: "pids_limit: 0", same: "init: true", path: "services.web.pids_limit"},
		"no limit of cores":         {web: "cpus: 0", same: "init: true", path: "services.web.cpus"},
		"no limit of memory":        {web: "deploy: {resources: {limits: {memory: '0'}}}", same: "init: true", path: "services.web.deploy.resources.limits.memory"},
		"parts of a second":         {web: "stop_grace_period: 1500ms", same: "stop_grace_period: 2s", path: "services.web.stop_grace_period"},
		"labels of Traefik's":       {web: "labels: {Traefik.enable: 'true'}", path: "services.web.labels.Traefik.enable"},
		"labels of Berth's":         {web: "labels: {COM.unite-hub.tenant.id: x}", path: "services.web.labels.COM.unite-hub.tenant.id"},
		"labels of compose's":       {web: "labels: [Com.Docker.x=y]", path: "services.web.labels.Com.Docker.x"},
		"x-berth inside a service":  {web: "x-berth: {port: 1}", same: "init: true", path: "services.web.x-berth"},
		"x-berth written otherwise": {rest: "x_berth: {}\nx-bert: {port: 80}", path: "x-bert"},
		"a service that is a list":  {own: "service: [db], port: 3000", same: "init: true", path: "x-berth.service"},
		"a volume that is no map":   {own: own + ", volumes: {data: true}", path: "x-berth.volumes.data", rest: "volumes: {data: {}}", web: "volumes: [\"data:/a\"]"},
		"a pattern that is a list":  {own: own + ", variables: {A: {pattern: [a]}}", path: "x-berth.variables.A.pattern"},
		"a pattern that is a map":   {own: own + ", variables: {A: {pattern: {a: b}}}", path: "x-berth.variables.A.pattern"},
		"a default that is a list":  {own: own + ", variables: {A: {default: [a]}}", path: "x-berth.variables.A.default"},
		"a list for a description":  {own: own + ", variables: {A: {description: [a]}}", path: "x-berth.variables.A.description"},
		"a variable that is false":  {own: own + ", variables: {A: false}", path: "x-berth.variables.A"},
		"a variable that is a list": {own: own + ", variables: {A: []}", path: "x-berth.variables.A"},
		"variables that are a list": {own: own + ", variables: []", same: "init: true", path: "x-berth.variables"},
		"health that is false":      {own: own + ", health: false", same: "init: true", path: "x-berth.health"},
		"headers that are false":    {own: own + ", health: {headers: false}", same: "init: true", path: "x-berth.health.headers"},
		"limits that are a text":    {own: own + ", limits: ''", same: "init: true", path: "x-berth.limits"},
		"a check longer than its interval": {own: own + ", health: {interval: 2s, timeout: 3s}",
			path: "x-berth.health.timeout"},
	} {
		section := own
		if c.own != "" {
			section = c.own
		}
		file := func(web, section string) []byte {
			return []byte("services:\n  web:\n    image: shop:1\n    user: '1000:1000'\n    " + web + "\n" + strings.ReplaceAll(c.rest, "x_berth: {}\n", "") + "\nx-berth: {" + section + "}\n")
		}
		source := file(c.web, section)
		_, findings := blueprint.Parse(source)
		if len(findings) != 1 || findings[0].Path != c.path || findings[0].Hint == "" || findings[0].Rule == "" || findings[0].Line == 0 {
			t.Errorf("%s: wanted a finding at %s, got\n%s", what, c.path, show(findings))
		}
		if name, err := blueprint.Examine(source); !berth.Is(err, berth.CodeInvalidBlueprint) || name != "app" {
			t.Errorf("%s: Examine says %q, %v", what, name, err)
		}
		stored, err := blueprint.New(berth.BlueprintVersion{Name: "app", Version: 1, Source: source})
		if err != nil {
			t.Errorf("%s: a stored blueprint with it is not read: %v", what, err)
			continue
		}
		if c.same == "" {
			continue
		}
		plain, err := blueprint.New(berth.BlueprintVersion{Name: "app", Version: 1, Source: file(c.same, own)})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got, want := stackOf(t, stored), stackOf(t, plain); got != want {
			t.Errorf("%s: a stored blueprint gives another stack than it did:\n%s\n%s", what, got, want)
		}
	}
}

func stackOf(t *testing.T, b *blueprint.Blueprint) string {
	t.Helper()
	tn := tenant("Shop")
	d := b.Defaults()
	tn.Spec.Blueprint, tn.Spec.ImageTag, tn.Spec.Limits, tn.Spec.Replicas, tn.Spec.InternalPort = b.ID(), d.ImageTag, d.Limits, d.Replicas, d.Port
	stack, err := b.Stack(tn, nil, nil, 4)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(stack)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// unwritten are fields of compose-go's types that no file may have: the
// specification does not know them, and they are refused as such.
var unwritten = []string{
	"services.*.name", // its key
	"services.*.net", "services.*.log_driver", "services.*.log_opt", "services.*.volume_driver", "services.*.dockerfile",
	"services.*.deploy.resources.limits.devices", "services.*.deploy.resources.limits.generic_resources", "services.*.deploy.resources.reservations.pids",
}

// Every attribute that compose-go decodes has a row in the table, however deep
// it is, down to what is refused as a whole: a new version of compose-go can't
// bring one that is ignored in silence.
func TestTheTableKnowsAllThatComposeGoDecodes(t *testing.T) {
	rows := map[string]blueprint.Attribute{}
	for _, row := range blueprint.Attributes() {
		rows[row.Path] = row
	}
	seen := 0
	var visit func(path string, of reflect.Type)
	visit = func(path string, of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer:
			visit(path, of.Elem())
		case reflect.Slice, reflect.Array:
			visit(path+"[]", of.Elem())
		case reflect.Map:
			visit(path+".*", of.Elem())
		case reflect.Struct:
			for i := range of.NumField() {
				name, options, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
				switch {
				case name == "-" || !of.Field(i).IsExported() || strings.HasPrefix(name, "#") || of.Field(i).Type == reflect.TypeFor[types.Extensions]():
					continue
				case name == "" && slices.Contains(strings.Split(options, ","), "inline"):
					visit(path, of.Field(i).Type)
					continue
				case name == "":
					t.Errorf("%v has a field %s whose name in a file is not known", of, of.Field(i).Name)
					continue
				}
				at := strings.TrimPrefix(path+"."+name, ".")
				row, ok := rows[at]
				if !ok && !slices.Contains(unwritten, at) {
					t.Errorf("the table has no row for %s", at)
				}
				if seen++; ok && row.Kind == "" {
					visit(at, of.Field(i).Type)
				}
			}
		}
	}
	visit("", reflect.TypeFor[types.Project]())
	for _, path := range unwritten {
		source := "services: {web: {image: a, user: '1:1', " + strings.TrimPrefix(strings.ReplaceAll(path, ".", ": {"), "services: {*: {") + ": x" +
			strings.Repeat("}", strings.Count(path, ".")) + "\nx-berth: {port: 80}\n"
		at := strings.Replace(path, "*", "web", 1)
		if _, findings := blueprint.Parse([]byte(source)); !slices.ContainsFunc(findings, func(f blueprint.Finding) bool { return f.Path == at }) {
			t.Errorf("%s is not refused:\n%s%s", path, source, show(findings))
		}
	}
	if seen < 150 {
		t.Errorf("only %d attributes were found: compose-go was rearranged", seen)
	}
}
