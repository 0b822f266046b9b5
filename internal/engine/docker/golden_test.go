package docker

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// What an Engine is asked to make of a stack. Each case is read from
// testdata/stacks/NAME.json and compared with NAME.golden.json beside it.
func TestStacksBecomeTheseCallsToTheEngine(t *testing.T) {
	dir := filepath.Join("testdata", "stacks")
	engines := map[string]facts{
		"least":      {info: berth.EngineInfo{Cores: 2, Routed: true}, hasInit: true},
		"whole":      {info: berth.EngineInfo{Cores: 4, Routed: true}, hasInit: true},
		"two":        {info: berth.EngineInfo{Cores: 2, Routed: true}},
		"unroutable": {info: berth.EngineInfo{Cores: 1}, hasInit: true},
	}
	for name, f := range engines {
		t.Run(name, func(t *testing.T) {
			e := &Engine{Options: Options{Installation: "golden", SealKey: bytes.Repeat([]byte{1}, 32)}.withDefaults()}
			if name == "whole" {
				e.Runtime, e.LogMaxMB = "runsc", 20
			}
			becomes(t, e, &f, filepath.Join(dir, name+".json"), filepath.Join(dir, name+".golden.json"))
		})
	}
}

// The last part of the way that package blueprint's goldens begin: blueprint
// and tenant to stack, stack to these calls.
func TestBlueprintsStacksBecomeTheseCallsToTheEngine(t *testing.T) {
	stacks, err := filepath.Glob(filepath.Join("..", "..", "blueprint", "testdata", "golden", "*.stack.json"))
	if err != nil || len(stacks) < 12 {
		t.Fatalf("%d stacks, %v", len(stacks), err)
	}
	for _, stack := range stacks {
		name := strings.TrimSuffix(filepath.Base(stack), ".stack.json")
		t.Run(name, func(t *testing.T) {
			e := &Engine{Options: Options{Installation: "golden", SealKey: bytes.Repeat([]byte{1}, 32)}.withDefaults()}
			f := &facts{info: berth.EngineInfo{Cores: 4, Routed: true}, hasInit: true}
			becomes(t, e, f, stack, filepath.Join("testdata", "blueprints", name+".golden.json"))
		})
	}
}

// becomes compares what an engine is asked to make of a stack with a golden file.
func becomes(t *testing.T, e *Engine, f *facts, stack, file string) {
	t.Helper()
	data, err := os.ReadFile(stack)
	if err != nil {
		t.Fatal(err)
	}
	var s berth.Stack
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	out := struct {
		Network    client.NetworkCreateOptions
		Containers []client.ContainerCreateOptions
	}{Network: e.networkBody(s)}
	for _, spec := range instances(s) {
		body, err := e.body(s, spec, spec.Name, f)
		if err != nil {
			t.Fatal(err)
		}
		out.Containers = append(out.Containers, body)
	}
	got, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run with -update if this is meant:\n%s", diff)
	}
}
