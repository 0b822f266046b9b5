package blueprint_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/blueprint"
)

func show(findings []blueprint.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%d %s: %s: %s (%s)\n", f.Line, f.Path, f.Kind, f.Rule, f.Hint)
	}
	return b.String()
}

// Every example and every valid blueprint of testdata is read as its golden
// file says.
func TestGoldenBlueprintsAreReadAsTheyAre(t *testing.T) {
	files, err := filepath.Glob("testdata/blueprints/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"saas": "../../examples/saas/blueprint.yml", "nextjs": "../../examples/nextjs/blueprint.yml",
		"builtin": "../../docker/tenant/docker-compose.template.yml",
	} {
		readAs(t, name, path)
	}
	for _, path := range files {
		readAs(t, strings.TrimSuffix(filepath.Base(path), ".yml"), path)
	}
}

func readAs(t *testing.T, name, path string) {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	app, findings := blueprint.Parse(source)
	if len(findings) > 0 {
		t.Errorf("%s:\n%s", path, show(findings))
		return
	}
	shown, err := json.MarshalIndent(app, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("blueprints", name+".app.json"), append(shown, '\n'))
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
