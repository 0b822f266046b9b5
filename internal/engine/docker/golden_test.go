package docker

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
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
			data, err := os.ReadFile(filepath.Join(dir, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var s berth.Stack
			if err := json.Unmarshal(data, &s); err != nil {
				t.Fatal(err)
			}
			e := &Engine{Options: Options{Installation: "golden", SealKey: bytes.Repeat([]byte{1}, 32)}.withDefaults()}
			if name == "whole" {
				e.Runtime, e.LogMaxMB = "runsc", 20
			}
			out := struct {
				Network    client.NetworkCreateOptions
				Containers []client.ContainerCreateOptions
			}{Network: e.networkBody(s)}
			for _, spec := range s.Containers() {
				body, err := e.body(s, spec, &f)
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
			file := filepath.Join(dir, name+".golden.json")
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
		})
	}
}
