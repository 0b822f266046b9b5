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
	for name, source := range sources(t) {
		app, findings := blueprint.Parse(source)
		if len(findings) > 0 {
			t.Errorf("%s:\n%s", name, show(findings))
			continue
		}
		shown, err := json.MarshalIndent(app, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("golden", name+".app.json"), append(shown, '\n'))
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
