package blueprint_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/unite-hub/berth/internal/blueprint"
)

// The published schema and Parse agree on what x-berth may hold. What depends
// on the rest of the file, such as whether a service exists, only Parse knows.
func TestTheSchemaSaysWhatParseSays(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(blueprint.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("x-berth.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("x-berth.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		yaml  string
		right bool
	}{
		{"{}", true},
		{"{service: web, port: 3000}", true},
		{"{port: 0}", false},
		{"{port: 65536}", false},
		{"{port: x}", false},
		{"{health: {path: /up, interval: 2m, timeout: 1m30s, retries: 20, start_period: 0s}}", true},
		{"{health: {path: up}}", false},
		{"{health: {type: http, method: POST, headers: {Host: a.example.com, X-N: 1}, status: 200-399}}", true},
		{"{health: {status: 204, headers: null}}", true},
		{"{health: {type: tcp}}", true},
		{"{health: {type: tcp, path: /}}", false},
		{"{health: {type: engine, status: 204}}", false},
		{"{health: {type: udp}}", false},
		{"{health: {method: DELETE}}", false},
		{"{health: {method: get}}", false},
		{"{health: {status: 99}}", false},
		{"{health: {status: 200-}}", false},
		{"{health: {headers: [a]}}", false},
		{"{health: {headers: {'a b': c}}}", false},
		{"{health: {headers: {a: {b: c}}}}", false},
		{`{health: {headers: {a: "b\r\nc: d"}}}`, false},
		{"{health: {path: /a b}}", false},
		{"{health: {retries: 0}}", false},
		{"{health: {interval: 5}}", false},
		{"{health: {pth: /}}", false},
		{"{limits: {cpus: 4, memory_mb: 8192, disk_mb: 1024}}", true},
		{"{limits: {cpus: 4.5}}", false},
		{"{limits: {memory_mb: 255}}", false},
		{"{limits: {disk_mb: 1}}", false},
		{"{limits: {memory_mb: 1.5}}", false},
		{"{limits: {gpus: 1}}", false},
		{"{shares: {web: 100}}", true},
		{"{shares: {web: 0}}", false},
		{"{shares: {web: 101}}", false},
		{"{variables: {A: null, B: {description: x, required: true, secret: true, pattern: 'a+'}}}", true},
		{"{variables: {A: {default: x}}}", true},
		{"{variables: {1A: null}}", false},
		{"{variables: {A: {required: maybe}}}", false},
		{"{variables: {A: {secrt: true}}}", false},
		{"{volumes: {data: {shared: true}}}", true},
		{"{volumes: {data: {shared: 1}}}", false},
		{"{volumes: {data: {sharred: true}}}", false},
		{"{writable: {web: [/a, /b/c]}}", true},
		{"{writable: {web: [a]}}", false},
		{"{writable: {web: /a}}", false},
		{"{capabilities: {web: [NET_BIND_SERVICE, KILL]}}", true},
		{"{capabilities: {web: [SYS_ADMIN]}}", false},
		{"{tenant_environment: [web]}", true},
		{"{tenant_environment: web}", false},
		{"{service: [web]}", false},
		{"{health: false}", false},
		{"{health: []}", false},
		{"{shares: []}", false},
		{"{limits: ''}", false},
		{"{variables: []}", false},
		{"{variables: {A: false}}", false},
		{"{variables: {A: {default: 3000}}}", true},
		{"{variables: {A: {default: [x]}}}", false},
		{"{variables: {A: {pattern: [x]}}}", false},
		{"{variables: {A: {description: {x: y}}}}", false},
		{"{volumes: {data: true}}", false},
		{"{egress: []}", false},
		{"{unknown: 1}", false},
	} {
		var value any
		if err := yaml.Unmarshal([]byte(c.yaml), &value); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(instance); (err == nil) != c.right {
			t.Errorf("the schema on %s: %v", c.yaml, err)
		}
		source := "services: {web: {image: a, user: '1:1', ports: ['3000'], volumes: ['data:/data']}}\nvolumes: {data: {}}\nx-berth: " + c.yaml + "\n"
		if strings.Contains(c.yaml, "port: 3000") {
			source = strings.Replace(source, "ports: ['3000'], ", "", 1)
		}
		if _, findings := blueprint.Parse([]byte(source)); (len(findings) == 0) != c.right {
			t.Errorf("Parse on %s:\n%s", c.yaml, show(findings))
		}
	}
}

// docs/blueprint.md shows the table as it is.
func TestTheDocumentShowsTheTable(t *testing.T) {
	const path, begin, end = "../../docs/blueprint.md", "<!-- the table: make golden -->\n", "<!-- end of the table -->\n"
	doc := string(read(t, path))
	head, rest, ok := strings.Cut(doc, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| attribute | Berth | what it makes of it, or why not | way out |\n|---|---|---|---|")
	for _, row := range blueprint.Attributes() {
		kind := string(row.Kind)
		if kind == "" {
			kind = "honoured"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", row.Path, kind, cell(row.Note), cell(row.Way))
	}
	want := head + begin + b.String() + end + tail
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if doc != want {
		t.Errorf("%s does not show the table as it is (make golden writes it)", path)
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
