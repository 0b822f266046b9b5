package berth_test

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/unite-hub/berth"

// mayImport says which packages of Berth a package may import, each row with
// its reason. "" is the root. A package without a row fails: a new package
// begins with a decision. Test files are free.
var mayImport = map[string]struct {
	packages []string
	reason   string
}{
	"": {nil, "nouns and pure rules: the standard library only, so that they can be read and used everywhere"},

	"internal/engine/docker":     {[]string{"", "internal/fanout", "internal/lru"}, "an adapter knows the nouns and its own library, no other adapter; many readers share a stream of the Engine; what images bring is kept by pin"},
	"internal/pattern":           {nil, "makes expressions at their first use, so that a client's command starts fast"},
	"internal/lru":               {nil, "keeps so many values and forgets the least recently used; what they are, it does not know"},
	"internal/durable":           {nil, "makes names in a directory survive a loss of power; everything that writes files may ask it"},
	"internal/fanout":            {[]string{""}, "shares one source among many readers; what the source is, it does not know"},
	"internal/meter":             {[]string{"", "internal/store"}, "reads what the kernel counts and keeps it; it sees engine, edge and fleet through functions"},
	"internal/health":            {[]string{"", "internal/store"}, "asks containers over HTTP and keeps the record of it; it knows no loop, no engine and no edge"},
	"internal/rekey":             {[]string{"", "internal/store"}, "goes through what is stored and seals it anew; it knows keys by interface"},
	"internal/retention":         {[]string{"", "internal/store"}, "drops what is over by rule; which rows those are, the store finds"},
	"internal/secret":            {[]string{"", "internal/durable"}, "an adapter knows the nouns and its cipher"},
	"internal/secret/secrettest": {[]string{"internal/secret"}, "opens key files for tests"},
	"supabase":                   {nil, "the PostgreSQL schema as files; it only embeds"},
	"docker/tenant":              {nil, "the built-in blueprint as a file; it only embeds"},
	"internal/blueprint":         {[]string{"", "docker/tenant", "internal/pattern"}, "turns files into apps, tenants into stacks and stacks into files; it runs none of them"},
	"internal/netguard":          {[]string{""}, "bounds listeners and dialers that others open: which addresses, how many connections; it opens none itself"},
	"internal/edge":              {[]string{"", "internal/netguard"}, "the edge asks the guard before it takes a connection"},
	"internal/metrics":           {[]string{""}, "an adapter knows the nouns and Prometheus' library; who may see what was decided before"},
	"internal/trace":             {[]string{""}, "an adapter knows the nouns and OpenTelemetry's library"},
	"internal/store":             {[]string{""}, "the seam that tenancy and reconcile share; it holds no SQL"},
	"internal/move":              {[]string{"", "internal/store"}, "brings one store into another through the seam; it knows no database"},
	"internal/lead":              {[]string{"", "internal/store"}, "decides who acts for an engine; it knows leases, no engine and no database"},
	"internal/control":           {[]string{"", "internal/store", "internal/lead"}, "runs the parts of a term and shows the leader; it knows loop, engine and edge by interface"},
	"internal/store/row":         {[]string{"", "internal/store"}, "what every store keeps and answers alike: who sees what, cursors, the JSON of specs, refusals; it holds no SQL"},
	"internal/store/sqlite":      {[]string{"", "internal/durable", "internal/store", "internal/store/row"}, "implements the seam; rules stay out of it"},

	"internal/store/postgres": {[]string{"", "internal/durable", "internal/store", "internal/store/row", "supabase"}, "implements the seam on the schema's own files; rules stay out of it"},

	"internal/action":      {[]string{"", "internal/store"}, "the table of what can be asked for: tenancy and auth authorise and record by it, the API names denied attempts by it"},
	"internal/idempotency": {[]string{"", "internal/store"}, "a request under a key is done once: tenancy's orders claim theirs with it, and every other mutation through the API"},
	"internal/tenancy":     {[]string{"", "internal/store", "internal/action", "internal/idempotency", "internal/pattern", "internal/lru"}, "use cases write desired state; they never touch an engine or an edge"},
	"internal/plan":        {[]string{""}, "decides what is next from a situation that is handed to it; it sees no clock, no store and no engine"},
	"internal/reconcile":   {[]string{"", "internal/plan", "internal/store"}, "the loop sees engine, edge and prober through its own interfaces"},
	"internal/notify":      {[]string{"", "internal/store", "internal/pattern"}, "reads the journal and sends; what it may connect to is given to it"},
	"internal/auth":        {[]string{"", "internal/store", "internal/action", "internal/durable", "internal/lru", "internal/netguard"}, "what a request brought becomes an actor, and failures count by the guard's sources; what an actor may do to tenants is tenancy's"},
	"internal/api":         {[]string{"", "internal/tenancy", "internal/action", "internal/idempotency", "internal/store", "internal/auth", "internal/metrics", "internal/pattern", "internal/lru"}, "wire types over the use cases; nothing above tenancy knows engines"},
	"client":               {[]string{""}, "programs of others import it: it must not pull in the control plane"},
	"internal/serve":       {[]string{"", "internal/api", "internal/auth", "internal/blueprint", "internal/control", "internal/edge", "internal/engine/docker", "internal/health", "internal/meter", "internal/move", "internal/notify", "internal/reconcile", "internal/rekey", "internal/retention", "internal/secret", "internal/store", "internal/store/postgres", "internal/store/sqlite", "internal/tenancy", "internal/trace", "internal/netguard"}, "the wiring: the only place that sees both sides of a seam"},
	"internal/cli":         {[]string{"", "client", "internal/blueprint", "internal/durable", "internal/serve"}, "commands speak through the public client; only `serve` starts the control plane, `migrate` works beside one that is stopped, and `blueprint validate` works without one"},
	"cmd/berth":            {[]string{"internal/cli", "internal/serve"}, "main starts, nothing else"},

	"internal/engine/enginetest": {[]string{"", "internal/reconcile"}, "the suite and the fake implement the loop's seam"},
	"internal/store/storetest":   {[]string{"", "internal/store"}, "one suite for every store, so it knows none"},
	"internal/testbed":           {[]string{"", "client"}, "makes images, mail servers and processes for tests; it treats Berth as a black box, which it asks as anybody does"},
	"examples/saas/app":          {nil, "a tenant's app knows nothing of Berth"},
	"examples/tenantapp":         {nil, "a tenant's app knows nothing of Berth"},
	"bench":                      {[]string{"", "client", "internal/testbed", "internal/api", "internal/auth", "internal/blueprint", "internal/edge", "internal/engine/enginetest", "internal/health", "internal/meter", "internal/reconcile", "internal/secret", "internal/store", "internal/store/postgres", "internal/store/sqlite", "internal/tenancy"}, "measures the real binary from outside; and what watches a fleet larger than the machine by itself, or a whole control plane on fakes"},
	"scripts/quickstart":         {nil, "changes how a dependency begins, before the binary is built"},
	"scripts/tenantimage":        {[]string{"internal/testbed"}, "makes the demo's image"},
}

// mayExec lists where other programs may be started: outside the product only.
var mayExec = []string{"internal/testbed", "bench", "scripts", "test"}

// suites are tests that other packages run.
var suites = []string{"internal/store/storetest", "internal/engine/enginetest"}

var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "types", "models"}

// What rule 10 of CONTRIBUTING.md and rule 3 allow at most.
const (
	longestFile    = 500
	longestFunc    = 80 // lines, of product code: a test's table is one list
	mostParameters = 5  // of product code
	mostMethods    = 7  // of an interface, with those that it embeds
)

// poetic are words that once stood for the field's own, each with the one to use.
// Rule 12: the words of docs/architecture.md, and only these.
var poetic = map[string]string{
	"door": "listener", "helm": "leader view", "mind": "watch engine", "blur": "mark unknown", "bell": "notify channel",
	"form": "row", "furnish": "seed",
}

// sourceFile is one parsed .go file; folder and name are slash paths from the
// module's root, which is folder "".
type sourceFile struct {
	folder, name string
	test         bool
	lines        int
	syntax       *ast.File
	positions    *token.FileSet
}

func (f sourceFile) imports() []string {
	var paths []string
	for _, spec := range f.syntax.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// product reports whether the file is part of what users run.
func (f sourceFile) product() bool { return !f.test && !within(f.folder, mayExec) }

func TestPackagesImportOnlyWhatTheirRowAllows(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		row, known := mayImport[f.folder]
		if !known && strings.HasPrefix(f.folder, "test/") {
			continue // end-to-end programs may see everything
		}
		if !known {
			t.Errorf("%s: package %q has no row in mayImport: say what it may import and why", f.name, f.folder)
			continue
		}
		seen[f.folder] = true
		for _, p := range f.imports() {
			own, isOwn := strings.CutPrefix(p, module)
			own = strings.TrimPrefix(own, "/")
			if isOwn && own != f.folder && !slices.Contains(row.packages, own) {
				t.Errorf("%s imports %q, which its row does not allow: %s", f.name, p, row.reason)
			}
			if f.folder == "" && !isOwn && strings.Contains(strings.SplitN(p, "/", 2)[0], ".") {
				t.Errorf("%s imports %s: the root package uses the standard library only", f.name, p)
			}
		}
	}
	for folder := range mayImport {
		if !seen[folder] {
			t.Errorf("mayImport has a row for %q, which does not exist", folder)
		}
	}
}

func TestProductCodeStartsNoOtherProgram(t *testing.T) {
	for _, f := range sources(t) {
		if f.product() && slices.Contains(f.imports(), "os/exec") {
			t.Errorf("%s imports os/exec: a shell fed with names is how tenants get out", f.name)
		}
	}
}

func TestNoPackageHasAVagueName(t *testing.T) {
	for _, f := range sources(t) {
		name := strings.TrimSuffix(f.syntax.Name.Name, "_test")
		if slices.Contains(vagueNames, name) || slices.Contains(vagueNames, path.Base(f.folder)) {
			t.Errorf("%s: package %s: name it after what it holds", f.name, name)
		}
	}
}

func TestProductCodeHasNoInit(t *testing.T) {
	for _, f := range sources(t) {
		if !f.product() {
			continue
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has func init: importing a package must have no effect", f.positions.Position(fn.Pos()))
			}
		}
	}
}

func TestFilesStayShort(t *testing.T) {
	for _, f := range sources(t) {
		if f.lines > longestFile {
			t.Errorf("%s has %d lines, more than %d: split it by noun", f.name, f.lines, longestFile)
		}
	}
}

func TestFunctionsStayShortAndTakeFewParameters(t *testing.T) {
	for _, f := range sources(t) {
		if !f.product() || within(f.folder, suites) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			name, signature := "", (*ast.FuncType)(nil)
			switch n := n.(type) {
			case *ast.FuncDecl:
				name, signature = n.Name.Name, n.Type
				if lines := f.positions.Position(n.End()).Line - f.positions.Position(n.Pos()).Line + 1; lines > longestFunc {
					t.Errorf("%s: %s has %d lines, more than %d", f.name, name, lines, longestFunc)
				}
			case *ast.FuncLit:
				name, signature = "a function literal", n.Type
			case *ast.Field: // a method of an interface
				method, ok := n.Type.(*ast.FuncType)
				if !ok || len(n.Names) == 0 {
					return true
				}
				name, signature = n.Names[0].Name, method
			default:
				return true
			}
			if many := signature.Params.NumFields(); many > mostParameters {
				t.Errorf("%s: %s takes %d parameters, more than %d: make them a struct", f.positions.Position(n.Pos()), name, many, mostParameters)
			}
			return true
		})
	}
}

// An interface lives with its consumer, and a consumer that needs more than seven
// methods needs more than one thing.
func TestInterfacesHaveFewMethods(t *testing.T) {
	declared := map[string]map[string]*ast.InterfaceType{} // by folder and name
	for _, f := range sources(t) {
		if !f.product() || within(f.folder, suites) {
			continue
		}
		for _, d := range f.syntax.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range group.Specs {
				typ, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if i, ok := typ.Type.(*ast.InterfaceType); ok {
					if declared[f.folder] == nil {
						declared[f.folder] = map[string]*ast.InterfaceType{}
					}
					declared[f.folder][typ.Name.Name] = i
				}
			}
		}
	}
	var count func(folder string, i *ast.InterfaceType) int
	count = func(folder string, i *ast.InterfaceType) (methods int) {
		for _, field := range i.Methods.List {
			switch typ := field.Type.(type) {
			case *ast.FuncType:
				methods++
			case *ast.Ident: // embedded, of the same package
				if other := declared[folder][typ.Name]; other != nil {
					methods += count(folder, other)
				}
			case *ast.SelectorExpr: // embedded, of another package of Berth's
				from, _ := typ.X.(*ast.Ident)
				for other := range declared {
					if from != nil && path.Base(other) == from.Name && declared[other][typ.Sel.Name] != nil {
						methods += count(other, declared[other][typ.Sel.Name])
					}
				}
			}
		}
		return methods
	}
	for folder, interfaces := range declared {
		for name, i := range interfaces {
			if n := count(folder, i); n > mostMethods {
				t.Errorf("%s: interface %s has %d methods, more than %d: part it by noun", folder, name, n, mostMethods)
			}
		}
	}
}

func TestNoFileOrTopLevelNameIsPoetic(t *testing.T) {
	for _, f := range sources(t) {
		base := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.name), ".go"), "_test")
		names := []string{base, path.Base(f.folder)}
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names = append(names, d.Name.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names = append(names, spec.Name.Name)
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							names = append(names, n.Name)
						}
					}
				}
			}
		}
		for _, name := range names {
			if word := poetic[strings.ToLower(name)]; word != "" {
				t.Errorf("%s: %s says nothing to a stranger from this field: say %s", f.name, name, word)
			}
		}
	}
}

// A sleep is a race that was given a number; a skip is a test that nobody runs.
func TestTestsNeitherSleepNorSkip(t *testing.T) {
	forbidden := map[string]bool{"time.Sleep": true}
	for _, receiver := range []string{"t", "b", "f", "tb"} {
		for _, method := range []string{"Skip", "Skipf", "SkipNow"} {
			forbidden[receiver+"."+method] = true
		}
	}
	for _, f := range sources(t) {
		if !f.test {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if on, ok := selector.X.(*ast.Ident); ok && forbidden[on.Name+"."+selector.Sel.Name] {
				t.Errorf("%s uses %s.%s: poll with a deadline, or use testing/synctest", f.positions.Position(n.Pos()), on.Name, selector.Sel.Name)
			}
			return true
		})
	}
}

// sources are the module's own .go files. It fails the test if one does not parse.
func sources(t *testing.T) []sourceFile {
	t.Helper()
	files, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// parsed parses, once for all tests, every .go file of the module except testdata
// and the tools module.
var parsed = sync.OnceValues(func() (files []sourceFile, err error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if name == "tools" || entry.Name() == "testdata" || name != "." && strings.HasPrefix(entry.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(full)
		if err != nil {
			return err
		}
		positions := token.NewFileSet()
		syntax, err := parser.ParseFile(positions, name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := path.Dir(name)
		if folder == "." {
			folder = ""
		}
		files = append(files, sourceFile{
			folder: folder, name: name, test: strings.HasSuffix(name, "_test.go"),
			lines: bytes.Count(text, []byte("\n")), syntax: syntax, positions: positions,
		})
		return nil
	})
	return files, err
})

// moduleRoot walks up from the test's directory to the folder with go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the test's directory")
		}
		dir = parent
	}
}

func within(folder string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		return folder == f || strings.HasPrefix(folder, f+"/")
	})
}
