package api_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
)

// Every route that knows who asks has one action, and every action that is no
// route's is the API's own.
func TestEveryRouteHasOneAction(t *testing.T) {
	t.Parallel()
	all, of, names := operations(t), map[string]string{}, map[string]bool{}
	for _, a := range action.All() {
		if names[a.Name] {
			t.Errorf("%s stands twice", a.Name)
		}
		names[a.Name] = true
		for _, route := range a.Routes {
			if op, is := all[route]; !is || of[route] != "" {
				t.Errorf("%s: %s (a route: %v) is also %q", a.Name, route, is, of[route])
			} else if a.Reads() != strings.HasPrefix(a.Name, "read.") || op.method != "GET" && a.Reads() && route != "health-check" {
				t.Errorf("%s: %s %s, recorded: %v", a.Name, op.method, op.path, !a.Reads())
			}
			of[route] = a.Name
		}
		if len(a.Routes) == 0 && a.Name != action.CrossOrigin.Name && a.Name != action.Suppressed.Name {
			t.Errorf("%s is no route's", a.Name)
		}
	}
	for id, op := range all {
		if op.secured && of[id] == "" {
			t.Errorf("%s has no action", id)
		}
	}
}

// What changes something is recorded in one place of the code, and what only reads
// in none. That the place is come by once, the table of routes shows.
func TestEveryActionIsRecordedInOnePlace(t *testing.T) {
	t.Parallel()
	vars, places := actionVariables(t), map[string]int{}
	for _, pattern := range []string{"../tenancy/*.go", "../auth/*.go"} {
		for _, f := range parsed(t, pattern) {
			ast.Inspect(f, func(n ast.Node) bool {
				var in ast.Expr
				switch n := n.(type) {
				case *ast.CallExpr:
					if fn, ok := n.Fun.(*ast.SelectorExpr); ok && fn.Sel.Name == "Record" {
						in = fn.X
					} else if ok && fn.Sel.Name == "recordKey" {
						in = n.Args[2]
					}
				case *ast.CompositeLit:
					if id, ok := n.Type.(*ast.Ident); ok && id.Name == "ordered" {
						in = n.Elts[0]
					}
				}
				if call, ok := in.(*ast.CallExpr); ok { // .Also
					in = call.Fun.(*ast.SelectorExpr).X
				}
				if s, ok := in.(*ast.SelectorExpr); ok {
					if id, ok := s.X.(*ast.Ident); ok && id.Name == "action" {
						places[s.Sel.Name]++
					}
				}
				return true
			})
		}
	}
	for name, reads := range vars {
		want := 1
		if reads {
			want = 0
		}
		if places[name] != want {
			t.Errorf("action.%s is recorded in %d places, want %d", name, places[name], want)
		}
	}
}

// actionVariables are the variables of package action, each with whether it only
// reads, in the order of the table.
func actionVariables(t *testing.T) map[string]bool {
	t.Helper()
	all, vars := action.All(), map[string]bool{}
	for _, f := range parsed(t, "../action/table.go") {
		ast.Inspect(f, func(n ast.Node) bool {
			if list, ok := n.(*ast.CompositeLit); ok {
				if of, ok := list.Type.(*ast.ArrayType); ok && len(list.Elts) == len(all) {
					for i, e := range list.Elts {
						if id, ok := e.(*ast.Ident); ok && of.Len == nil {
							vars[id.Name] = all[i].Reads()
						}
					}
				}
			}
			return true
		})
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				for _, id := range s.(*ast.ValueSpec).Names {
					if _, listed := vars[id.Name]; id.IsExported() && !listed {
						t.Errorf("action.%s is not in the table", id.Name)
					}
				}
			}
		}
	}
	if len(vars) != len(all) {
		t.Fatalf("%d variables, %d actions", len(vars), len(all))
	}
	return vars
}

func parsed(t *testing.T, pattern string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// docs/actions.md is the table of actions, as it is.
func TestOpenAPIRoutesAndActionsAreDocumented(t *testing.T) {
	t.Parallel()
	const golden = "../../docs/actions.md"
	all := operations(t)
	var b bytes.Buffer
	b.WriteString("# Who may do what, and what is recorded\n\n" +
		"Made from the table in `internal/action`, by which requests are authorised and\n" +
		"recorded; a test has every route tried as everybody. See [access.md](access.md) and\n" +
		"[audit.md](audit.md).\n\n" +
		"An operator may do all of it. *if allowed*: if an operator allows it to the\n" +
		"organization. Done to what belongs to no organization, an action takes the scope\n" +
		"`installation`, if it does not already take it or `audit`.\n\n" +
		"| action | route | to | takes | admin | member | deployer | its entry shows |\n|---|---|---|---|---|---|---|---|\n")
	for _, a := range action.All() {
		var routes []string
		for _, route := range a.Routes {
			routes = append(routes, "`"+all[route].method+" "+all[route].path+"`")
		}
		shows := strings.Join(a.Records, ", ")
		switch {
		case a.Reads():
			shows = "only if it is denied"
		case shows == "":
			shows = "that it was done"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", a.Name, strings.Join(routes, "<br>"), a.Of, strings.Join(a.Takes(one).Names(), ", "),
			whether(a, berth.RoleAdmin), whether(a, berth.RoleMember), whether(a, berth.RoleDeployer), shows)
	}
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s is not the table (make golden writes it anew): %v", golden, err)
	}
}

func whether(a action.Action, role berth.Role) string {
	actor := berth.Actor{ID: "x", Role: role, OrganizationID: one}
	of := one
	if a.Of == action.Installation {
		of = ""
	}
	switch {
	case a.Of == action.Self && len(a.Routes) > 0, actor.May(a.Takes(of), of, 0):
		return yes
	case actor.May(a.Takes(of), of, berth.SelfService):
		return allowed
	}
	return no
}
