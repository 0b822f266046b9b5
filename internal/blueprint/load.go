package blueprint

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/unite-hub/berth/internal/pattern"
)

// maxTrials bounds how often compose-go is asked which part of a file it does
// not take: each costs about a millisecond.
const maxTrials = 500

// load lets compose-go check the file against the specification and bring it
// into one form. It stops at the first thing that it refuses, so the file is
// taken apart: all that it refuses is reported, each at its path, and taken
// out, and the rest is read. It reports whether there is a rest.
func (p *parser) load() bool {
	config, _ := p.root.plain().(map[string]any)
	var err error
	if p.project, err = project(config); err == nil {
		return true
	}
	before := len(p.list)
	trial := trials{parser: p, left: maxTrials}
	for _, part := range []string{"services", "volumes", "networks", "secrets"} {
		trial.part(part)
	}
	config, _ = p.root.plain().(map[string]any)
	var still error
	if p.project, still = project(config); still == nil && trial.took {
		return true
	}
	switch {
	case len(p.list) == before && !trial.took:
		p.invalid(nil, "", "see the Compose Specification", "is not a compose file: %s", err)
	case trial.left < 0:
		p.invalid(nil, "", "mend these, and validate it again", "the file has more that the Compose Specification does not allow than is shown")
	}
	return false
}

// project reads a compose file that was taken apart already.
func project(config map[string]any) (*types.Project, error) {
	delete(config, extensionKey)
	delete(config, "name")    // checked with x-berth
	delete(config, "version") // compose-go would print a warning
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		ConfigFiles: []types.ConfigFile{{Filename: "blueprint.yml", Config: config}},
		Environment: types.Mapping{},
		WorkingDir:  "/nonexistent",
	}, func(o *loader.Options) {
		o.SetProjectName("blueprint", true)
		o.SkipInterpolation, o.SkipNormalization, o.SkipConsistencyCheck = true, true, true
		o.SkipExtends, o.SkipInclude, o.SkipResolveEnvironment, o.SkipResolveLabels = true, true, true, true
		o.ResolvePaths = false
	})
}

// trials find out what compose-go does not take, by giving it parts alone.
type trials struct {
	*parser
	left int
	took bool // what compose-go refuses was found, and told
}

// around makes a file that has one value and nothing else.
type around func(value any) map[string]any

func (a around) key(key string) around {
	return func(value any) map[string]any { return a(map[string]any{key: value}) }
}

func (a around) item() around {
	return func(value any) map[string]any { return a([]any{value}) }
}

// part takes what compose-go refuses out of one key of the file.
func (t *trials) part(part string) {
	n := t.root.get(part)
	if n == nil {
		return
	}
	outer := around(func(value any) map[string]any { return map[string]any{part: value} })
	if t.take(n, part, part, outer) {
		return
	}
	t.root.fields = slices.DeleteFunc(slices.Clone(t.root.fields), func(f field) bool { return f.key == part })
}

// take reports whether compose-go takes n, when all that it refuses was taken
// out: that is reported as far inside as can be told. row is n's place in the
// table.
func (t *trials) take(n *node, row, path string, outer around) bool {
	if row == "services.*" && !n.isMap {
		t.invalid(n, path, "write it as a map of attributes", "is not a map")
		t.lose(path)
		t.took = true
		return false
	}
	err := t.try(n, outer)
	if err == nil && row != "services" {
		return true
	}
	before := len(t.list)
	said, _ := complaint(err)
	switch {
	case said == path: // n itself is wrong, not what is in it
	case n.isList:
		for i, item := range n.items {
			if err := t.try(item, outer.item()); err != nil {
				t.refuse(item, fmt.Sprintf("%s[%d]", path, i), path+".0", err)
			}
		}
	case n.isMap && row != "services.*.depends_on.*": // what is in there can't be told without its condition
		n.fields = slices.DeleteFunc(slices.Clone(n.fields), func(f field) bool {
			inside := join(row, f.key)
			if slices.Contains([]string{"services", "volumes", "networks", "services.*.depends_on", "services.*.networks"}, row) {
				inside = row + ".*"
			}
			return !t.take(f.node, inside, join(path, f.key), outer.key(f.key))
		})
		err = t.try(n, outer)
	}
	if err == nil {
		return true
	}
	if len(t.list) == before {
		t.refuse(n, path, path, err)
	}
	t.lose(path)
	return false
}

func (t *trials) try(n *node, outer around) error {
	if t.left--; t.left < 0 {
		return nil // not asked any more
	}
	_, err := project(outer(n.plain()))
	return err
}

// refuse reports what compose-go says of n, which it knows as asked: at the
// path that it names, if that is inside.
func (t *trials) refuse(n *node, path, asked string, err error) {
	t.took = true
	said, rule := complaint(err)
	if rest, ok := strings.CutPrefix(said, asked+"."); ok {
		path += n.written(rest)
	}
	if strings.HasSuffix(rule, "must be set") && slices.ContainsFunc([]string{"environment", "file", "external", "content"}, func(key string) bool { return t.lost[join(path, key)] }) {
		return // it was, until that was refused
	}
	t.invalid(n, path, "see the Compose Specification", "%s", rule)
}

var (
	preambles  = pattern.Of(`^(?:validating blueprint\.yml: |decoding failed due to the following error\(s\):\s*)+`)
	saidPath   = pattern.Of(`^'?((?:services|networks|volumes|name)(?:\.[A-Za-z0-9_-]+|\[[A-Za-z0-9_-]+\])*|secrets(?:\.[A-Za-z0-9_-]+)+)'?:? +`)
	saidInside = pattern.Of(`\[([A-Za-z0-9_-]+)\]`)
	spaces     = pattern.Of(`\s+`)
)

// complaint takes compose-go's message apart: the path that it begins with, if
// it does, with dots before names and numbers alike, and the rest on one line.
func complaint(err error) (path, rule string) {
	if err == nil {
		return "", ""
	}
	rule = spaces().ReplaceAllString(preambles().ReplaceAllString(err.Error(), ""), " ")
	if said := saidPath().FindStringSubmatch(rule); said != nil {
		path, rule = saidInside().ReplaceAllString(said[1], ".$1"), rule[len(said[0]):]
	}
	return path, rule
}

// written is a path below n that compose-go told, as findings have it: .key or
// [item]. It ends where the file has no more of it.
func (n *node) written(path string) string {
	out := ""
	for _, key := range strings.Split(path, ".") {
		if n.isList {
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(n.items) {
				return out
			}
			n, out = n.items[i], out+"["+key+"]"
			continue
		}
		if n = n.get(key); n == nil {
			return out
		}
		out += "." + key
	}
	return out
}
