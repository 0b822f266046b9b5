package testbed

import (
	"fmt"
	"net"
	"testing"
)

func TestNoTwoGetAPortThatIsFree(t *testing.T) {
	given := map[int]bool{}
	for _, n := range []int{1, 60, 60, 5, blockPorts, 1} {
		ports, err := FreePorts(n)
		if err != nil {
			t.Fatal(err)
		}
		var first, last int
		if _, err := fmt.Sscanf(ports, "%d-%d", &first, &last); err != nil || last-first != n-1 {
			t.Fatalf("asked for %d, got %s: %v", n, ports, err)
		}
		for port := first; port <= last; port++ {
			if given[port] {
				t.Errorf("%d was given twice", port)
			}
			given[port] = true
		}
	}
	if ports, err := FreePorts(blockPorts + 1); err == nil {
		t.Errorf("got %s, more than what is claimed at a time", ports)
	}
}

func TestAPortThatSomebodyHasIsNotFree(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if port := l.Addr().(*net.TCPAddr).Port; free(port-1, 3) {
		t.Errorf("%d is said to be free", port)
	}
}

// What another process has is held by an open file, as here.
func TestWhatIsClaimedNobodyElseGets(t *testing.T) {
	dir := t.TempDir()
	for want := range 3 {
		n, lock, err := claim(dir, 0, 3)
		if err != nil || n != want {
			t.Fatalf("claimed %d, want %d: %v", n, want, err)
		}
		t.Cleanup(func() { _ = lock.Close() })
	}
	if n, _, err := claim(dir, 0, 3); err == nil {
		t.Errorf("claimed %d of 3 that were all taken", n)
	}
}
