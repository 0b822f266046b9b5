package blueprint_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
)

// sources are all blueprints that are known to be right, by name.
func sources(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/blueprints/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, path := range append(paths, "../../examples/saas/blueprint.yml", "../../examples/nextjs/blueprint.yml", "../../docker/tenant/docker-compose.template.yml") {
		name := strings.TrimSuffix(filepath.Base(path), ".yml")
		switch name {
		case "blueprint":
			name = filepath.Base(filepath.Dir(path))
		case "docker-compose.template":
			name = berth.BuiltinBlueprint
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = data
	}
	return all
}

// of is a tenant of a blueprint, with a value for each of its variables and one
// of its own.
func of(t testing.TB, name string, source []byte) (*blueprint.Blueprint, berth.Tenant, map[string]string) {
	t.Helper()
	v := berth.BlueprintVersion{Name: name, Version: 3, Source: source}
	b, err := blueprint.New(v)
	if err != nil {
		t.Fatal(err)
	}
	app, _ := blueprint.Parse(source)
	env := map[string]string{"OWN": "of the tenant: $X"}
	for _, variable := range app.Variables {
		if variable.Required || variable.Secret {
			env[variable.Name] = "secret value of " + variable.Name
		}
	}
	tn := tenant("Café \"${X}\" & Söhne")
	d := b.Defaults()
	tn.Spec.Blueprint, tn.Spec.ImageTag, tn.Spec.Limits, tn.Spec.Replicas = v.ID(), d.ImageTag, d.Limits, d.Replicas
	tn.Spec.InternalPort, tn.Spec.Release, tn.Spec.Environment, tn.Spec.Images = d.Port, 1, map[string]string{}, map[string]string{}
	for name := range env {
		tn.Spec.Environment[name] = "version of " + name
	}
	for service := range b.Images() {
		tn.Spec.Images[service] = "sha256:" + strings.Repeat("c", 64)
	}
	if err := b.Check(tn.Spec, nil); err != nil {
		t.Fatal(err)
	}
	return b, tn, env
}

// From blueprint and tenant to stack and rendered file; engine/docker goes on
// from the stacks to the calls of the Engine.
func TestGoldenTenants(t *testing.T) {
	for name, source := range sources(t) {
		t.Run(name, func(t *testing.T) {
			b, tn, env := of(t, name, source)
			stack, err := b.Stack(tn, env, nil, 4)
			if err != nil {
				t.Fatal(err)
			}
			shown, err := json.MarshalIndent(stack, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("golden", name+".stack.json"), append(shown, '\n'))
			file, err := b.Compose(tn, 4)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("golden", name+".compose.yml"), file)
			if strings.Contains(string(file), "secret value") {
				t.Error("a secret is in the rendered file")
			}
			if again, err := b.Compose(tn, 4); err != nil || string(again) != string(file) {
				t.Errorf("rendered again it differs: %v", err)
			}
			sameAsStack(t, file, b.Env(org, env), stack)
		})
	}
}

// sameAsStack reads a rendered file and its .env as compose does, and compares
// what compose would run with what Berth runs.
func sameAsStack(t *testing.T, file, env []byte, stack berth.Stack) {
	t.Helper()
	project := compose(t, file, env)
	if len(project.Services) != len(stack.Services) || len(project.Volumes) != len(stack.Volumes) {
		t.Fatalf("compose reads %d services and %d volumes, the stack has %d and %d", len(project.Services), len(project.Volumes), len(stack.Services), len(stack.Volumes))
	}
	for _, want := range stack.Services {
		got := project.Services[want.Name]
		for _, e := range want.Environment {
			if value := got.Environment[e.Name]; value == nil || *value != e.Value {
				t.Errorf("%s: %s is %v in compose, %q in the stack", want.Name, e.Name, value, e.Value)
			}
		}
		if len(got.Environment) != len(want.Environment) {
			t.Errorf("%s: compose has %d variables, the stack %d", want.Name, len(got.Environment), len(want.Environment))
		}
		if !slices.Equal(got.Command, want.Command) || !slices.Equal(got.Entrypoint, want.Entrypoint) {
			t.Errorf("%s: command %q %q, want %q %q", want.Name, got.Entrypoint, got.Command, want.Entrypoint, want.Command)
		}
		if len(got.Secrets) != len(want.Secrets) {
			t.Errorf("%s gets %v, want %d secrets", want.Name, got.Secrets, len(want.Secrets))
		}
		for i, use := range got.Secrets { // compose reads the value from the .env file
			f := want.Secrets[i]
			if use.Target != f.Name || use.UID+":"+use.GID != want.User || use.Mode == nil || *use.Mode != 0o400 || project.Environment[project.Secrets[use.Source].Environment] != f.Value {
				t.Errorf("%s: the secret %s is %+v, from %+v", want.Name, f.Name, use, project.Secrets[use.Source])
			}
		}
		if got.User != want.User || got.Image != want.Image || got.ReadOnly != (len(want.Secrets) == 0) || got.WorkingDir != want.WorkingDir || got.StopSignal != want.StopSignal {
			t.Errorf("%s: %+v", want.Name, got)
		}
		if int(got.MemLimit/berth.BytesPerMB) != want.Limits.MemoryMB || got.CPUS != float32(want.Limits.CPU) || got.PidsLimit != want.PidsLimit {
			t.Errorf("%s: %v cores, %v bytes, %d processes, want %+v", want.Name, got.CPUS, got.MemLimit, got.PidsLimit, want.Limits)
		}
		if r := got.Deploy.Resources.Reservations; float32(r.NanoCPUs) > got.CPUS || r.MemoryBytes > got.MemLimit {
			t.Errorf("%s: reservations %+v above the limits", want.Name, r)
		}
		for label, value := range want.Labels {
			if !strings.HasPrefix(label, "com.docker.compose.") && got.Labels[label] != value {
				t.Errorf("%s: label %s is %q, want %q", want.Name, label, got.Labels[label], value)
			}
		}
		if len(got.Volumes) != len(want.Mounts) || len(got.DependsOn) != len(want.DependsOn) {
			t.Errorf("%s: volumes %+v, depends on %+v", want.Name, got.Volumes, got.DependsOn)
		}
		for i, m := range want.Mounts {
			v := got.Volumes[i]
			if project.Volumes[v.Source].Name != m.Volume || v.Target != m.Target || v.ReadOnly != m.ReadOnly {
				t.Errorf("%s: mount %+v, want %+v", want.Name, v, m)
			}
		}
	}
}

// compose reads a rendered file as docker compose does.
func compose(t testing.TB, file, env []byte) *types.Project {
	t.Helper()
	values, err := dotenv.ParseWithLookup(strings.NewReader(string(env)), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("%v in\n%s", err, env)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		ConfigFiles: []types.ConfigFile{{Filename: "docker-compose.yml", Content: file}}, Environment: values, WorkingDir: "/nonexistent",
	}, func(o *loader.Options) { o.SetProjectName(values["COMPOSE_PROJECT_NAME"], true) })
	if err != nil {
		t.Fatalf("%v in\n%s", err, file)
	}
	return project
}
