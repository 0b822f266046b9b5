package berth_test

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// fewestNouns is how many nouns a function uses that may take a whole transaction:
// one that uses fewer says which.
const fewestNouns = 3

// A function that takes the whole store.Tx can do anything. It may take that when it
// uses many nouns of it, by itself or through the functions that it hands it on to;
// else it takes the noun, or an interface of its own with the methods that it calls.
// A function literal is the transaction's own, and the store has none but all.
func TestFunctionsTakeTheNounsOfTheStoreThatTheyUse(t *testing.T) {
	uses := newStoreUses(sources(t))
	taking := 0
	for _, fn := range uses.declared {
		if !fn.file.product() || within(fn.file.folder, []string{"internal/store"}) {
			continue
		}
		for i, p := range fn.parameters() {
			if selected(p.typ) != "store.Tx" {
				continue
			}
			taking++
			if nouns := uses.of(fn, i, map[*storeFunc]bool{}); len(nouns) < fewestNouns && !nouns[handedOn] {
				t.Errorf("%s: %s takes a whole store.Tx and uses %v of it: take that, or an interface of the methods that it calls",
					fn.file.positions.Position(fn.Pos()), fn.Name.Name, nouns.names())
			}
		}
	}
	if taking == 0 {
		t.Error("no function takes a store.Tx: was it renamed?")
	}
}

// handedOn stands for what a function of another's does with a transaction: a
// parameter or a field that is called with it, of which nobody can tell.
const handedOn = "(whatever a function that it was given uses)"

type nounSet map[string]bool

func (n nounSet) names() []string {
	var list []string
	for name := range n {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// storeFunc is a function or a method that Berth declares.
type storeFunc struct {
	*ast.FuncDecl
	file sourceFile
}

type parameter struct {
	name string
	typ  ast.Expr
}

func (f *storeFunc) parameters() []parameter {
	var list []parameter
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			list = append(list, parameter{name.Name, field.Type})
		}
		if len(field.Names) == 0 {
			list = append(list, parameter{"_", field.Type})
		}
	}
	return list
}

// storeUses knows what is declared, by name: types are not checked, so functions of
// one package that share a name count together.
type storeUses struct {
	declared []*storeFunc
	named    map[string][]*storeFunc         // by folder and name
	methods  map[string][]*storeFunc         // by name
	nouns    map[string]nounSet              // by the method's name; and the noun's own
	types    map[string][]*ast.InterfaceType // by folder and name
}

func newStoreUses(files []sourceFile) *storeUses {
	u := &storeUses{named: map[string][]*storeFunc{}, methods: map[string][]*storeFunc{}, nouns: map[string]nounSet{}, types: map[string][]*ast.InterfaceType{}}
	var tx *ast.StructType
	for _, f := range files {
		if f.test {
			continue
		}
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				fn := &storeFunc{d, f}
				u.declared = append(u.declared, fn)
				u.named[f.folder+"."+d.Name.Name] = append(u.named[f.folder+"."+d.Name.Name], fn)
				if d.Recv != nil {
					u.methods[d.Name.Name] = append(u.methods[d.Name.Name], fn)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					spec, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					switch typ := spec.Type.(type) {
					case *ast.InterfaceType:
						key := f.folder + "." + spec.Name.Name
						u.types[key] = append(u.types[key], typ)
					case *ast.StructType:
						if f.folder == "internal/store" && spec.Name.Name == "Tx" {
							tx = typ
						}
					}
				}
			}
		}
	}
	if tx == nil {
		return u
	}
	for _, field := range tx.Fields.List {
		noun := field.Type.(*ast.Ident).Name
		u.nouns[noun] = nounSet{noun: true}
		for _, i := range u.types["internal/store."+noun] {
			for _, method := range i.Methods.List {
				u.nouns[method.Names[0].Name] = nounSet{noun: true}
			}
		}
	}
	return u
}

// of is which nouns a function uses of a parameter.
func (u *storeUses) of(fn *storeFunc, index int, under map[*storeFunc]bool) nounSet {
	found := nounSet{}
	add := func(more nounSet) {
		for noun := range more {
			found[noun] = true
		}
	}
	p := fn.parameters()[index]
	if selected(p.typ) != "store.Tx" {
		add(u.wanted(fn.file.folder, p.typ))
		return found
	}
	if under[fn] || fn.Body == nil {
		return found
	}
	under[fn] = true
	defer delete(under, fn)
	is := func(e ast.Expr) bool { id, ok := e.(*ast.Ident); return ok && id.Name == p.name }
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if is(n.X) {
				add(u.nouns[n.Sel.Name])
			}
		case *ast.CallExpr:
			for i, arg := range n.Args {
				if !is(arg) {
					continue
				}
				taken := false
				for _, callee := range u.called(fn, n.Fun) {
					if i >= len(callee.parameters()) {
						continue
					}
					taken = taken || len(u.wanted(callee.file.folder, callee.parameters()[i].typ)) > 0
					add(u.of(callee, i, under))
				}
				if !taken {
					add(nounSet{handedOn: true})
				}
			}
		}
		return true
	})
	return found
}

// wanted is which nouns a parameter's type has: a noun, an interface of the store's
// or of the folder's own. Of a whole transaction it is not told, only that it is one.
func (u *storeUses) wanted(folder string, typ ast.Expr) nounSet {
	name := ""
	if id, ok := typ.(*ast.Ident); ok {
		name = id.Name
	} else if selected, ok := strings.CutPrefix(selected(typ), "store."); ok {
		folder, name = "internal/store", selected
	}
	switch {
	case folder == "internal/store" && name == "Tx":
		return nounSet{"Tx": true}
	case folder == "internal/store" && u.nouns[name] != nil:
		return u.nouns[name]
	}
	found := nounSet{}
	for _, i := range u.types[folder+"."+name] {
		for _, field := range i.Methods.List {
			if len(field.Names) == 0 {
				for noun := range u.wanted(folder, field.Type) {
					found[noun] = true
				}
				continue
			}
			for noun := range u.nouns[field.Names[0].Name] {
				found[noun] = true
			}
		}
	}
	return found
}

// called is what may be meant by the name that is called.
func (u *storeUses) called(fn *storeFunc, called ast.Expr) []*storeFunc {
	switch called := called.(type) {
	case *ast.IndexExpr: // with a type argument
		return u.called(fn, called.X)
	case *ast.Ident:
		return u.named[fn.file.folder+"."+called.Name]
	case *ast.SelectorExpr:
		if pkg, ok := called.X.(*ast.Ident); ok {
			for _, p := range fn.file.imports() {
				if own, isOwn := strings.CutPrefix(p, module+"/"); isOwn && path.Base(own) == pkg.Name {
					return u.named[own+"."+called.Sel.Name]
				}
			}
		}
		if here := u.named[fn.file.folder+"."+called.Sel.Name]; len(here) > 0 {
			return here
		}
		return u.methods[called.Sel.Name]
	}
	return nil
}

// selected is a type such as store.Tx as it is written; "" for another.
func selected(typ ast.Expr) string {
	if s, ok := typ.(*ast.SelectorExpr); ok {
		if pkg, ok := s.X.(*ast.Ident); ok {
			return pkg.Name + "." + s.Sel.Name
		}
	}
	return ""
}
