package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatInitMadeIsMadeAtItsFirstUseAndDoesTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := write(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	said, made := starts(t)
	saidWith, madeWith := starts(t, "-modfile="+filepath.Join(dir, "go.mod"))
	if !strings.HasPrefix(said, "true false\nrefused\ntrue false\nrefused\n") || strings.Count(said, "\n") != 9 || saidWith != said {
		t.Errorf("%q as it is and %q as copies", said, saidWith)
	}
	for _, d := range dependencies {
		was, is := made[d.module], madeWith[d.module]
		t.Logf("init of %s makes %d bytes, %d as a copy", d.module, was, is)
		if was == 0 {
			t.Errorf("%s makes nothing before main: drop it", d.module)
		}
		if most := was / 10; is > most {
			t.Errorf("init of %s makes %d bytes, want at most %d", d.module, is, most)
		}
	}
}

func TestAnotherVersionOfADependencyIsRefused(t *testing.T) {
	t.Parallel()
	for _, d := range dependencies {
		fits := ""
		for _, e := range d.edits {
			fits += strings.Repeat(e.from, e.times)
		}
		if _, err := d.change(d.version, fits); err != nil {
			t.Error(err)
		}
		if _, err := d.change("v99.0.0", fits); err == nil {
			t.Errorf("a later version of %s with the same text was taken", d.module)
		}
		if _, err := d.change(d.version, "package other\n\nfunc init() {\n}\n"); err == nil {
			t.Errorf("another text of %s was taken", d.module)
		}
	}
}

// starts builds and runs the program in testdata; it returns what it printed and how
// many bytes each package's init made.
func starts(t *testing.T, flags ...string) (said string, made map[string]int) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "starts")
	build := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", binary}, flags...), "./testdata/starts")...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), binary)
	run.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var out, trace bytes.Buffer
	run.Stdout, run.Stderr = &out, &trace
	if err := run.Run(); err != nil {
		t.Fatalf("%v\n%s", err, trace.String())
	}
	made = map[string]int{}
	for lines := bufio.NewScanner(&trace); lines.Scan(); {
		var name string
		var at, took float64
		var bytes int
		if _, err := fmt.Sscanf(lines.Text(), "init %s @%g ms, %g ms clock, %d bytes", &name, &at, &took, &bytes); err == nil {
			made[name] = bytes
		}
	}
	return out.String(), made
}
