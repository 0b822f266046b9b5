package edge

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
)

// placeDescriptors is what a client's connection may need: one for itself, and
// one to an instance.
const placeDescriptors = 2

// fewPlaces is how much anybody may have before the idle connections of those
// with no more are left alone: who works goes before who waits.
const fewPlaces = 6

// clients are those that have anything under way, at whatever tenant.
type clients struct {
	mu    sync.Mutex // may be taken with a listener's held, never the other way round
	byKey map[netip.Addr]*client
}

// client is one source at all tenants.
type client struct {
	key     netip.Addr
	places  budget // its connections, and its requests that trusted proxies bring
	memory  budget
	sources map[*source]struct{} // at each tenant; clients.mu guards it
}

// join returns the client that a source is of. The source's listener's mu is held.
func (e *Edge) join(s *source) *client {
	e.clients.mu.Lock()
	defer e.clients.mu.Unlock()
	c := e.clients.byKey[s.key]
	if c == nil {
		c = &client{key: s.key, sources: make(map[*source]struct{}),
			places: budget{within: &e.descriptors, each: placeDescriptors, most: int64(e.opts.MaxPerClientInAll)},
			memory: budget{within: &e.memory, each: 1, most: e.memory.most}}
		e.clients.byKey[s.key] = c
	}
	c.sources[s] = struct{}{}
	return c
}

// part is the opposite of join.
func (cs *clients) part(s *source) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(s.client.sources, s)
	if len(s.client.sources) == 0 {
		delete(cs.byKey, s.client.key)
	}
}

// of is the client that a source is of, nil for a trusted proxy's.
func (s *source) of() *client {
	if s == nil {
		return nil
	}
	return s.client
}

// scale is how to tell who has more of what there is not enough of for a source.
func (s *source) scale() func(*client) int64 {
	short := s != nil && !(s.memory.fits(clientMemory) && s.client.memory.fits(clientMemory))
	return func(c *client) int64 {
		switch {
		case c == nil:
			return 1 // a trusted proxy's connection counts as everybody's first
		case short:
			return c.memory.used.Load() / clientMemory
		}
		return c.places.used.Load()
	}
}

// size is what the source's client has, on its scale; 0 for a trusted proxy, for
// which anybody's makes room.
func (s *source) size() int64 {
	if s == nil {
		return 0
	}
	return s.scale()(s.client)
}

// full reports whether the client has all that anybody may have.
func (c *client) full() bool {
	return c.places.used.Load() >= c.places.most
}

// victim takes an idle connection away, at whatever tenant, and returns it to be
// closed: one of the client that has the most of those with an idle one; of the
// source's own, if nobody has more or it may have no more itself; of anybody, if
// the source's has few. The source is nil where a trusted proxy connects. No
// listener's mu is held.
func (cs *clients) victim(s *source, has int64) *conn {
	own := s.of()
	if own != nil && own.full() {
		return cs.idleOf(own)
	}
	list, n := cs.idlers(s, has)
	for _, c := range list[:n] { // some have nothing idle, and others take from the same ones meanwhile
		if v := cs.idleOf(c.client); v != nil {
			return v
		}
	}
	return nil
}

// idler is a client of which an idle connection may make room.
type idler struct {
	*client
	size int64
}

// idlers are clients of which an idle connection may make room for one of a
// source, whoever has the most first, and the source's own before its likes.
func (cs *clients) idlers(s *source, has int64) (list [victimsLooked + 1]idler, n int) {
	size, own := s.scale(), s.of()
	if own != nil {
		list[0], n = idler{own, has}, 1
	}
	cs.mu.Lock()
	looked := 0
	for _, c := range cs.byKey {
		if its := size(c); c != own && (its > has || has < fewPlaces) {
			list[n], n = idler{c, its}, n+1
		}
		if looked++; looked == victimsLooked {
			break
		}
	}
	cs.mu.Unlock()
	slices.SortStableFunc(list[:n], func(a, b idler) int { return cmp.Compare(b.size, a.size) })
	return list, n
}

// idleOf takes an idle connection of a client away, nil if none is found.
func (cs *clients) idleOf(c *client) *conn {
	var some [victimsLooked]*source
	n := 0
	cs.mu.Lock()
	for s := range c.sources {
		some[n] = s
		if n++; n == len(some) {
			break
		}
	}
	cs.mu.Unlock()
	for _, s := range some[:n] {
		if v := s.takeIdle(); v != nil {
			return v
		}
	}
	return nil
}

func (s *source) takeIdle() *conn {
	s.listener.mu.Lock()
	defer s.listener.mu.Unlock()
	if s.idle.Len() == 0 {
		return nil
	}
	v := s.idle.Front().Value.(*conn)
	s.listener.evict(v)
	return v
}
