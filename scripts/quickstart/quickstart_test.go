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

func TestSchemasAreCheckedAsBeforeAndNoneIsCompiledBeforeMain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := write(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	said, made := starts(t)
	saidWith, madeWith := starts(t, "-modfile="+filepath.Join(dir, "go.mod"))
	if want := "true false\nrefused\ntrue false\nrefused\n"; said != want || saidWith != want {
		t.Errorf("%q as it is and %q as a copy, want %q", said, saidWith, want)
	}
	t.Logf("init makes %d bytes, %d as a copy", made, madeWith)
	if made == 0 {
		t.Fatal("the original makes nothing before main: drop scripts/quickstart")
	}
	if most := made / 10; madeWith > most {
		t.Errorf("init makes %d bytes, want at most %d", madeWith, most)
	}
}

func TestAnotherVersionOfTheDependencyIsRefused(t *testing.T) {
	t.Parallel()
	fits := ""
	for _, e := range edits {
		fits += e.from
	}
	if _, err := edit(version, fits); err != nil {
		t.Error(err)
	}
	if _, err := edit("v6.99.0", fits); err == nil {
		t.Error("a later version with the same text was taken")
	}
	if _, err := edit(version, "package jsonschema\n\nfunc init() {\n}\n"); err == nil {
		t.Error("another text was taken")
	}
}

// starts builds and runs the program in testdata; it returns what it printed and how
// many bytes the dependency's init made.
func starts(t *testing.T, flags ...string) (said string, made int) {
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
	for lines := bufio.NewScanner(&trace); lines.Scan(); {
		figures, ok := strings.CutPrefix(lines.Text(), "init "+dependency+" @")
		if !ok {
			continue
		}
		var at, took float64
		if _, err := fmt.Sscanf(figures, "%g ms, %g ms clock, %d bytes", &at, &took, &made); err != nil {
			t.Fatalf("%q: %v", figures, err)
		}
	}
	return out.String(), made
}
