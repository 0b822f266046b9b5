package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Nothing is registered beside secured and guarded but what is open.
func TestARouteIsRegisteredInOnePlaceOnly(t *testing.T) {
	t.Parallel()
	registers := map[string]int{"guard.go": 1, "open.go": 1 + 2, "signin.go": 2}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		ast.Inspect(f, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			fn, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Register", "Handle", "HandleFunc", "AutoRegister"}, fn.Sel.Name) {
				n++
			}
			return true
		})
		if n != registers[name] {
			t.Errorf("%s registers %d routes by itself, want %d: use secured", name, n, registers[name])
		}
	}
}
