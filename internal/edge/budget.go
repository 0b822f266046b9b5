package edge

import (
	"bytes"
	"sync/atomic"
)

// What is held for a connection or a request, in bytes: buffers of net/http and
// of ours, and the stacks of its goroutines.
const (
	clientMemory   = 16 << 10 // a client's connection
	upstreamMemory = 16 << 10 // a connection to an instance
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
	of     *budget // it is a share of this one, which is charged as well; nil: of none
	also   *budget // charged as well; nil: none
	within *budget // it is a share of this one, which others charge; nil: of none
	each   int64   // what a part of it counts in within
	most   int64
	used   atomic.Int64
}

// take takes n of the budget, and of all that are charged with it, or nothing.
func (b *budget) take(n int64) bool {
	if b == nil {
		return true
	}
	if b.allows(b.used.Add(n)) {
		if b.of.take(n) {
			if b.also.take(n) {
				return true
			}
			b.of.give(n)
		}
	}
	b.used.Add(-n)
	return false
}

// allows reports whether so much may be used.
func (b *budget) allows(used int64) bool {
	return used <= b.most && (b.of == nil || used <= b.of.left()) && (b.within == nil || used*b.each <= b.within.left())
}

// fits reports whether the budget itself has room for n more.
func (b *budget) fits(n int64) bool { return b.allows(b.used.Load() + n) }

// left is how much can still be taken, as far as the budget and what it is a
// share of go.
func (b *budget) left() int64 {
	used := b.used.Load()
	left := b.most - used
	if b.of != nil {
		left = min(left, b.of.left()-used)
	}
	return left
}

// whole is how much can be taken while nobody else holds anything.
func (b *budget) whole() int64 {
	if b.of == nil {
		return b.most
	}
	return min(b.most, b.of.whole()/2)
}

func (b *budget) give(n int64) {
	if b == nil || n == 0 {
		return
	}
	b.used.Add(-n)
	b.of.give(n)
	b.also.give(n)
}
