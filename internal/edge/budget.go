package edge

import (
	"bytes"
	"sync/atomic"
)

// What is held for a connection or a request, in bytes: buffers of net/http and
// of ours, and the stacks of its goroutines.
const (
	clientMemory   = 16 << 10 // a client's connection
	upstreamMemory = 16 << 10 // a connection to a container
	requestMemory  = 8 << 10  // a request under way
	copyMemory     = bufferSize
)

// headMemory is what the head of a message takes that came as these bytes, once
// it is parsed, and copied for the other side: each line becomes an entry of a
// map.
func headMemory(b []byte) int64 {
	return int64(2*len(b) + 160*bytes.Count(b, []byte{'\n'}))
}

// budget is an amount of which parts are taken and given back. Where it is a
// share of another one, it may hold no more than that has left: one share that
// takes all it can gets half, two get a third each, and whoever comes next
// always finds something.
type budget struct {
	of   *budget // nil: of none
	most int64
	used atomic.Int64
}

// take takes n of the budget, and of all that it is a share of, or nothing.
func (b *budget) take(n int64) bool {
	for at := b; at != nil; at = at.of {
		used := at.used.Add(n)
		if used <= at.most && (at.of == nil || used <= at.of.most-at.of.used.Load()) {
			continue
		}
		for back := b; back != at; back = back.of {
			back.used.Add(-n)
		}
		at.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) {
	if n == 0 {
		return
	}
	for at := b; at != nil; at = at.of {
		at.used.Add(-n)
	}
}
