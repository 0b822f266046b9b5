package testbed

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// The ports that tests listen on lie below those that the kernel gives to
// outgoing connections. A process claims a block of them at a time.
const (
	firstPort  = 20000
	blockPorts = 100
	portBlocks = 127 // up to 32699
)

// block is what this process has claimed last. It is never given back: a port
// that one test has left another process would find free too early.
var block struct {
	sync.Mutex
	next, end int
	locks     []*os.File // which hold the claims, as long as they are referred to
}

// FreePort returns one port that nothing listens on. Nobody else gets it while this
// process lives.
func FreePort() (int, error) {
	text, err := FreePorts(1)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(text, "-")
	return strconv.Atoi(first)
}

// FreePorts returns a range of n consecutive ports that nothing listens on, at
// most 100. Nobody else gets one of them while this process lives.
func FreePorts(n int) (string, error) {
	if n > blockPorts {
		return "", fmt.Errorf("%d ports at a time are more than %d", n, blockPorts)
	}
	block.Lock()
	defer block.Unlock()
	for {
		for ; block.next+n <= block.end; block.next++ {
			if first := block.next; free(first, n) {
				block.next += n
				return fmt.Sprintf("%d-%d", first, first+n-1), nil
			}
		}
		number, lock, err := claim(filepath.Join(claims, "berth-test-ports"), 0, portBlocks)
		if err != nil {
			return "", fmt.Errorf("ports of tests: %w", err)
		}
		block.locks = append(block.locks, lock)
		block.next = firstPort + number*blockPorts
		block.end = block.next + blockPorts
	}
}

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}
