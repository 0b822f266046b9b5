package cli_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Everything that our packages make before main is paid by each `berth ls`:
// expressions were half of its time.
func TestACommandStartsWithoutWhatOnlyTheControlPlaneNeeds(t *testing.T) {
	t.Parallel()
	const most = 64 << 10 // bytes
	self := exec.Command(os.Args[0], "-test.run=^$")
	self.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var said bytes.Buffer
	self.Stderr = &said
	if err := self.Run(); err != nil {
		t.Fatal(err)
	}
	packages, made := 0, 0
	for lines := bufio.NewScanner(&said); lines.Scan(); {
		name, figures, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "init "), " @")
		if !ok || !strings.HasPrefix(name, "github.com/unite-hub/berth") {
			continue
		}
		var at, took float64
		var size int
		if _, err := fmt.Sscanf(figures, "%g ms, %g ms clock, %d bytes", &at, &took, &size); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		packages, made = packages+1, made+size
	}
	t.Logf("%d packages make %d bytes before main", packages, made)
	if packages < 5 || made > most {
		t.Errorf("%d packages make %d bytes before main, want at most %d", packages, made, most)
	}
}
