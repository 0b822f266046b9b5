package blueprint_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
)

var odd = []string{
	"", "plain", "it's", `say "x"`, "a: b", "- x", "#", "${HOME}", "$HOME", "$$", "${", "}", "${A:-b}", "${TENANT_CHAR_DOLLAR}", `\`, `\\n`, "\n", "a\r\nb", "\t", " x ",
	"`id`", "!!binary aGk=", "*a", "&a", "%", "@", "|", ">", "~", "yes", "null", "0x10", "1e3", "12:34:56", "\u202e", "\ufeff", "\u2028", "\u0085", "🚢", "{a: [1]}",
	"<<", "=", "a=b=c", "export X=1", "'", `'"'`, "\x7f", "\u00a0", "; rm -rf /", "../../etc", `"} , {"`, "TENANT_VAR_OWN", "\x1b[31m",
}

// Seed fault 1, faults 29 and 31: whatever a tenant is called and whatever its
// variables hold, compose reads from the rendered file and its .env exactly
// what Berth hands to the Engine, and nothing reaches another field.
func FuzzValuesComeBackFromTheRenderedFile(f *testing.F) {
	for i, value := range odd {
		f.Add(odd[(i+7)%len(odd)], value)
	}
	source, err := os.ReadFile("testdata/blueprints/references.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		env := map[string]string{"MUST": value, "PASSWORD": value, "GREETING": value, "EMPTY": value, "OWN": value}
		if berth.ValidateName(name) != nil || berth.ValidateEnvironment(env) != nil {
			return
		}
		b, tn, _ := of(t, "references", source)
		tn.Name, tn.Spec.Environment = name, map[string]string{}
		for k := range env {
			tn.Spec.Environment[k] = "version"
		}
		stack, err := b.Stack(tn, env, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		file, err := b.Compose(tn, 0)
		if err != nil {
			t.Fatal(err)
		}
		sameAsStack(t, file, b.Env(org, env), stack)
	})
}

// Fault 30, for blueprints: whatever the file holds, Parse ends, says the same
// twice, and gives an app or findings; what it accepts can be run and rendered.
func FuzzParse(f *testing.F) {
	for _, source := range sources(f) {
		f.Add(source)
	}
	for _, s := range []string{"", "a", "{}", "services: []", "services: {web: null}", "services: {web: {image: 1}}", "&a [*a]", "a: &a {<<: *a}", "services:\n  web: &w {image: a, user: '1:1', ports: ['1'], depends_on: [web]}",
		"services: {web: {image: a, user: '1:1', ports: ['1-9'], environment: [\"A=${B\"]}}", "services: {web: {image: a, user: '1:1', ports: ['${EXTERNAL_PORT}:3000/udp']}}", "---\n---\n", "services: {1: {image: a}}", "x-berth: []\nservices: {web: {image: a}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		app, findings := blueprint.Parse(source)
		again, findingsAgain := blueprint.Parse(source)
		if places(findings) != places(findingsAgain) || asJSON(t, app) != asJSON(t, again) {
			t.Fatalf("two answers to one file:\n%s\n%s", show(findings), show(findingsAgain))
		}
		if (len(findings) == 0) != (app != nil) {
			t.Fatalf("app %v and %d findings", app != nil, len(findings))
		}
		for _, x := range findings {
			if x.Rule == "" || x.Kind == "" {
				t.Errorf("a finding that says nothing: %+v", x)
			}
		}
		if app == nil {
			return
		}
		b, tn, env := of(t, "fuzz", source)
		stack, err := b.Stack(tn, env, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		file, err := b.Compose(tn, 0)
		if err != nil {
			t.Fatal(err)
		}
		sameAsStack(t, file, b.Env(org, env), stack)
		for _, s := range stack.Services {
			for _, e := range s.Environment {
				if e.Name == "TENANT_ID" && e.Value != org {
					t.Errorf("service %s is tenant %q", s.Name, e.Value)
				}
			}
			if s.Labels[berth.LabelTenantID] != org || s.User == "" || s.User == "root" || s.User == "0" {
				t.Errorf("service %s: %+v", s.Name, s)
			}
		}
	})
}

// places is where findings are; compose-go words what it refuses in one of
// several ways if there is more than one thing wrong with an attribute.
func places(findings []blueprint.Finding) (out string) {
	for _, f := range findings {
		out += fmt.Sprintln(f.Line, f.Path, f.Kind)
	}
	return out
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What is put in for a reference is never looked at again.
func FuzzTextIsExpandedOnce(f *testing.F) {
	for i, value := range odd {
		f.Add("a${X}b$X-${Y:-"+"d}$$", value, odd[(i+3)%len(odd)])
	}
	f.Fuzz(func(t *testing.T, text, x, y string) {
		parsed, err := blueprint.ParseText(text)
		if err != nil {
			return
		}
		if again, err := blueprint.ParseText(parsed.String()); err != nil || asJSON(t, again) != asJSON(t, parsed) {
			t.Errorf("%q reads back as %q, %v", text, again, err)
		}
		get := func(name string) (string, bool) {
			switch name {
			case "X":
				return x, true
			case "Y":
				return y, true
			}
			return "", false
		}
		want := ""
		for _, p := range parsed {
			value, ok := get(p.Name)
			switch {
			case p.Name == "":
				value = p.Literal
			case p.HasDefault && (!ok || p.OrEmpty && value == ""):
				value = p.Default
			}
			want += value
		}
		if got := parsed.Expand(get); got != want {
			t.Errorf("%q with %q and %q is %q, want %q", text, x, y, got, want)
		}
	})
}
