// Quickstart writes a go.mod for `go build -modfile` in which the inits of two
// dependencies do not run in every command: jsonschema, with which compose-go checks
// blueprints, compiles the schemas of all drafts before main, which was half of what
// `berth ls` computed; reference, with which image names are read, compiles ten regular
// expressions, which was an eighth of what was left. Their copies, made here and
// committed nowhere, do so when they first need them; nothing else of them changes. A
// plain `go build` works as well, and its commands start slower.
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

// dependency is a module that is copied, and what is changed in the copy.
type dependency struct {
	module  string
	version string   // that the edits are for
	folders []string // below its root, copied with all that they hold
	file    string   // that the edits are made in
	edits   []edit
	added   string // a file of ours beside it
}

// edit replaces a text that stands in the file exactly so many times.
type edit struct {
	from, to string
	times    int
}

// dependencies are changed so that what their init made is made at its first use.
var dependencies = []dependency{
	{
		module: "github.com/santhosh-tekuri/jsonschema/v6", version: "v6.0.3", folders: []string{"kind", "metaschemas"}, file: "draft.go",
		edits: []edit{
			{"\n\t\"strings\"\n)\n", "\n\t\"strings\"\n\t\"sync\"\n)\n\nvar draftsOnce sync.Once\n", 1},
			{"\nfunc init() {\n", "\nfunc compileDrafts() {\n", 1},
			// The only reader of what init made. Compiling the drafts does not come here:
			// they are not checked against themselves.
			{"map[string]*Vocabulary) *Schema {\n\tvocabs := d.activeVocabs(", "map[string]*Vocabulary) *Schema {\n\tdraftsOnce.Do(compileDrafts)\n\tvocabs := d.activeVocabs(", 1},
		},
	},
	{
		module: "github.com/distribution/reference", version: "v0.6.0", file: "regexp.go",
		edits: []edit{{"\t\"regexp\"\n", "", 1}, {"regexp.MustCompile(", "lazily(", 10}},
		added: "package reference\n" + lazily,
	},
}

// lazily stands for regexp.MustCompile. It has the methods that are called.
const lazily = `
import (
	"regexp"
	"sync"
)

type lazyRegexp struct {
	pattern  string
	once     sync.Once
	compiled *regexp.Regexp
}

func lazily(pattern string) *lazyRegexp { return &lazyRegexp{pattern: pattern} }

func (l *lazyRegexp) get() *regexp.Regexp {
	l.once.Do(func() { l.compiled = regexp.MustCompile(l.pattern) })
	return l.compiled
}

func (l *lazyRegexp) String() string                       { return l.pattern }
func (l *lazyRegexp) MatchString(s string) bool            { return l.get().MatchString(s) }
func (l *lazyRegexp) FindStringSubmatch(s string) []string { return l.get().FindStringSubmatch(s) }
`

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

// write makes go.mod, go.sum and the dependencies' copies in a directory: a relative
// one is below the module's root, where this is called.
func write(ctx context.Context, dir string) error {
	module, err := ask(ctx, "env", "GOMOD")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	for _, d := range dependencies {
		copied := filepath.Join(dir, filepath.Base(strings.TrimSuffix(d.module, "/v6")))
		if err := d.copy(ctx, copied); err != nil {
			return fmt.Errorf("%s: %w", d.module, err)
		}
		if !filepath.IsAbs(copied) {
			copied = "./" + filepath.ToSlash(copied)
		}
		text = fmt.Appendf(text, "\nreplace %s => %s\n", d.module, copied)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), text, 0o644); err != nil {
		return err
	}
	return copyFile(filepath.Join(dir, "go.sum"), filepath.Join(filepath.Dir(module), "go.sum"))
}

// copy makes the changed copy of what is built of a dependency.
func (d dependency) copy(ctx context.Context, to string) error {
	required, err := ask(ctx, "list", "-m", "-f", "{{.Version}}", d.module)
	if err != nil {
		return err
	}
	original, err := ask(ctx, "list", "-find", "-f", "{{.Dir}}", d.module) // downloads it
	if err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := copyTree(to, original, false); err != nil {
		return err
	}
	for _, folder := range d.folders {
		if err := copyTree(filepath.Join(to, folder), filepath.Join(original, folder), true); err != nil {
			return err
		}
	}
	file := filepath.Join(to, d.file)
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	changed, err := d.change(required, string(source))
	if err != nil {
		return err
	}
	if d.added != "" {
		if err := os.WriteFile(filepath.Join(to, "lazily.go"), []byte(d.added), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(file, []byte(changed), 0o644)
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

// change refuses another version than the edits are for, and a source that they do not
// fit.
func (d dependency) change(required, source string) (string, error) {
	if required != d.version {
		return "", fmt.Errorf("%s is required and the edits are for %s: read its init, then change version and edits, or drop them", required, d.version)
	}
	for _, e := range d.edits {
		if strings.Count(source, e.from) != e.times {
			return "", errors.New("its source is another one than the edits are for: read its init, then change them, or drop them")
		}
		source = strings.ReplaceAll(source, e.from, e.to)
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
