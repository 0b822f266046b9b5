// Quickstart writes a go.mod for `go build -modfile` in which one dependency's init
// does not run in every command: jsonschema, with which compose-go checks
// blueprints, compiles the schemas of all drafts before main, which was half of what
// `berth ls` computed. Its copy, made here and committed nowhere, does so when it
// first checks a schema; nothing else of it changes. A plain `go build` works as
// well, and its commands start slower.
//
//	quickstart DIRECTORY
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	dependency = "github.com/santhosh-tekuri/jsonschema/v6"
	version    = "v6.0.3" // that the edits are for
)

// edits are made in draft.go, each in the one place where its text stands.
var edits = []struct{ from, to string }{
	{"\n\t\"strings\"\n)\n", "\n\t\"strings\"\n\t\"sync\"\n)\n\nvar draftsOnce sync.Once\n"},
	{"\nfunc init() {\n", "\nfunc compileDrafts() {\n"},
	// The only reader of what init made. Compiling the drafts does not come here:
	// they are not checked against themselves.
	{"map[string]*Vocabulary) *Schema {\n\tvocabs := d.activeVocabs(", "map[string]*Vocabulary) *Schema {\n\tdraftsOnce.Do(compileDrafts)\n\tvocabs := d.activeVocabs("},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: quickstart DIRECTORY")
		os.Exit(2)
	}
	if err := write(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// write makes go.mod, go.sum and the dependency's copy in a directory: a relative
// one is below the module's root, where this is called.
func write(ctx context.Context, dir string) error {
	module, err := ask(ctx, "env", "GOMOD")
	if err != nil {
		return err
	}
	required, err := ask(ctx, "list", "-m", "-f", "{{.Version}}", dependency)
	if err != nil {
		return err
	}
	original, err := ask(ctx, "list", "-find", "-f", "{{.Dir}}", dependency) // downloads it
	if err != nil {
		return err
	}
	copied := filepath.Join(dir, "jsonschema")
	if err := os.RemoveAll(copied); err != nil {
		return err
	}
	for _, part := range []string{".", "kind", "metaschemas"} {
		if err := copyTree(filepath.Join(copied, part), filepath.Join(original, part), part == "metaschemas"); err != nil {
			return err
		}
	}
	drafts := filepath.Join(copied, "draft.go")
	source, err := os.ReadFile(drafts)
	if err != nil {
		return err
	}
	edited, err := edit(required, string(source))
	if err != nil {
		return fmt.Errorf("%s: %w", dependency, err)
	}
	if err := os.WriteFile(drafts, []byte(edited), 0o644); err != nil {
		return err
	}
	text, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(copied) {
		copied = "./" + filepath.ToSlash(copied)
	}
	text = fmt.Appendf(text, "\nreplace %s => %s\n", dependency, copied)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), text, 0o644); err != nil {
		return err
	}
	return copyFile(filepath.Join(dir, "go.sum"), filepath.Join(filepath.Dir(module), "go.sum"))
}

func ask(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// edit refuses another version than the edits are for, and a source that they do not
// fit.
func edit(required, source string) (string, error) {
	if required != version {
		return "", fmt.Errorf("%s is required and the edits are for %s: read its init, then change version and edits, or drop them", required, version)
	}
	for _, e := range edits {
		if strings.Count(source, e.from) != 1 {
			return "", errors.New("its source is another one than the edits are for: read its init, then change them, or drop them")
		}
		source = strings.Replace(source, e.from, e.to, 1)
	}
	return source, nil
}

// copyTree copies a folder: everything below it, or only go.mod and what is built of
// the folder itself.
func copyTree(to, from string, everything bool) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		built := name == "go.mod" || strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
		switch {
		case e.IsDir() && everything:
			err = copyTree(filepath.Join(to, name), filepath.Join(from, name), true)
		case !e.IsDir() && (everything || built):
			err = copyFile(filepath.Join(to, name), filepath.Join(from, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
