package tenantimage_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/unite-hub/berth/internal/testbed"
)

func TestItStartsTheProgramWith(t *testing.T) {
	good := "TENANT_ID=" + id
	for name, c := range map[string]struct {
		start
		want map[string]string // of its environment; empty means not set
	}{
		"defaults": {start{env: []string{good}},
			map[string]string{"TENANT_ID": id, "NODE_ENV": "production", "PORT": "3000", "NODE_OPTIONS": "--max-old-space-size=192"}},
		"an upper-case identity":  {start{env: []string{"TENANT_ID=" + strings.ToUpper(id)}}, map[string]string{"TENANT_ID": id}},
		"the file's identity":     {start{file: strings.ToUpper(id) + " \r\n\n"}, map[string]string{"TENANT_ID": id}},
		"the same identity twice": {start{file: id, env: []string{"TENANT_ID=" + strings.ToUpper(id)}}, map[string]string{"TENANT_ID": id}},
		"settings of its own":     {start{env: []string{good, "PORT=65535", "NODE_ENV=test"}}, map[string]string{"PORT": "65535", "NODE_ENV": "test"}},
		"what it requires":        {start{env: []string{good, "TENANT_REQUIRED_ENV= A,,B ", "A=1", "B=2"}}, map[string]string{"A": "1", "B": "2"}},
		"variables named as the script's": {start{env: []string{good, "file=1", "value=2", "bytes=3", "floor=4"}},
			map[string]string{"file": "1", "value": "2", "bytes": "3", "floor": "4"}},
		"a heap of its own": {start{env: []string{good, "NODE_OPTIONS=--max-old-space-size=64"}}, map[string]string{"NODE_OPTIONS": "--max-old-space-size=64"}},
		"options beside":    {start{env: []string{good, "NODE_OPTIONS=--no-warnings"}}, map[string]string{"NODE_OPTIONS": "--no-warnings --max-old-space-size=192"}},
		"no memory limit":   {start{env: []string{good}, memory: -1}, map[string]string{"NODE_OPTIONS": ""}},
		"a lower floor":     {start{env: []string{good, "TENANT_MIN_MEMORY_MB=64"}, memory: 100}, map[string]string{"NODE_OPTIONS": "--max-old-space-size=75"}},
		"another program":   {start{env: []string{good, "TENANT_ENTRY=/app/server.js"}}, map[string]string{"TENANT_ENTRY": "/app/server.js"}},
		"arguments instead": {start{env: []string{good}, noServer: true, args: []string{"node", "-e", printing, "a  b", "*"}}, map[string]string{"TENANT_ID": id}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testbed.NewSite(t)
			code, out, errs := end(s, create(s, c.start))
			var seen struct {
				Pid  int
				Argv []string
				Env  map[string]string
			}
			if err := json.Unmarshal([]byte(out), &seen); err != nil || code != 0 || errs != "" {
				t.Fatalf("exit code %d, stdout %q, stderr %q: %v", code, out, errs, err)
			}
			if seen.Pid != 1 {
				t.Errorf("the program is process %d, want 1, which gets the signals", seen.Pid)
			}
			got := maps.Clone(c.want)
			for name := range got {
				got[name] = seen.Env[name]
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("environment %v, want %v", got, c.want)
			}
			if c.args != nil && strings.Join(seen.Argv, "|") != "a  b|*" {
				t.Errorf("arguments %q", seen.Argv)
			}
		})
	}
}

func TestASignalReachesTheProgramAtOnce(t *testing.T) {
	s := testbed.NewSite(t)
	made := create(s, start{env: []string{"TENANT_ID=" + id}, server: `
process.on('SIGTERM', () => process.exit(42)); setInterval(() => {}, 1000); console.log('ready')`})
	s.Eventually(time.Minute, "it is ready", func() bool {
		out, _ := s.Output(made)
		return strings.Contains(out, "ready")
	})
	grace := 30
	_, err := s.Engine.ContainerStop(s.Ctx, made, client.ContainerStopOptions{Timeout: &grace})
	s.Must(err)
	if code, _, _ := end(s, made); code != 42 { // one that gets no signal is killed in the end
		t.Errorf("exit code %d, want the handler's 42", code)
	}
}
