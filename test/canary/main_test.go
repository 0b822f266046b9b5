// Package canary_test plants values that nobody else has, wherever Berth takes
// a secret, drives a real control plane on a real Engine through what people
// and programs do, and then searches whatever comes out of it.
package canary_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

var rig testbed.Rig

func TestMain(m *testing.M) { os.Exit(testbed.Main(m, "canary", &rig)) }

// canary returns a value that is found only where it was let out.
func canary(kind string) string {
	return "cnry-" + kind + "-" + strings.ReplaceAll(berth.NewID(), "-", "") + "&=\"x"
}

// cage holds canaries and tells where they got out.
type cage struct {
	*testbed.Site
	birds    map[string]string // by kind
	searched int               // bytes
	places   int
}

// search looks for every canary in data, as it is and in the forms that
// programs put texts in. allowed names kinds that belong there.
func (c *cage) search(place string, data []byte, allowed ...string) {
	c.Helper()
	c.searched += len(data)
	c.places++
	for kind, bird := range c.birds {
		if strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+kind+" ") {
			continue
		}
		for form, text := range forms(bird) {
			if at := bytes.Index(data, []byte(text)); at >= 0 {
				c.Errorf("%s holds the %s, %s, at %d: …%q", place, kind, form, at, data[max(0, at-60):min(len(data), at+10)])
				break
			}
		}
	}
}

func forms(bird string) map[string]string {
	core, _, _ := strings.Cut(bird, "&") // what quoting does not change
	return map[string]string{
		"in clear": core, "in a URL": url.QueryEscape(bird), "in hex": hex.EncodeToString([]byte(core)),
		"in base64":               base64.StdEncoding.EncodeToString([]byte(core))[:len(core)],
		"in base64, one byte on":  base64.StdEncoding.EncodeToString([]byte(" " + core))[4 : len(core)-4],
		"in base64, two bytes on": base64.StdEncoding.EncodeToString([]byte("  " + core))[4 : len(core)-4],
		"in URLs' base64":         base64.URLEncoding.EncodeToString([]byte(core))[:len(core)],
	}
}

// files searches every file below a directory.
func (c *cage) files(dir string, allowed func(name string) []string) {
	c.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		name, err := filepath.Rel(dir, path)
		c.search("file "+name, data, allowed(name)...)
		return err
	})
	if err != nil || n < 4 {
		c.Errorf("%d files in %s, %v", n, dir, err)
	}
}

func TestTheSearchFindsWhatIsThere(t *testing.T) {
	bird := canary("test")
	core, _, _ := strings.Cut(bird, "&")
	for _, text := range []string{
		"x" + bird, "?a=" + url.QueryEscape(bird), fmt.Sprintf("%x", "ab"+bird), base64.StdEncoding.EncodeToString([]byte(bird)),
		base64.StdEncoding.EncodeToString([]byte("a" + bird)), base64.StdEncoding.EncodeToString([]byte("ab" + bird)),
		base64.StdEncoding.EncodeToString([]byte("user:" + bird)), fmt.Sprintf("%q", bird),
	} {
		found := false
		for _, form := range forms(bird) {
			found = found || strings.Contains(text, form)
		}
		if !found {
			t.Errorf("not found in %s", text)
		}
	}
	for form, text := range forms(bird) {
		if len(text) < len(core)-10 {
			t.Errorf("%s is too short to be no accident: %s", form, text)
		}
	}
}
