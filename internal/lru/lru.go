// Package lru keeps so many values by key at most.
package lru

import (
	"container/list"
	"sync"
)

// Map keeps at most so many values: for a new one the least recently used is
// forgotten. Its methods may be called concurrently.
type Map[K comparable, V any] struct {
	most int

	mu     sync.Mutex
	recent *list.List // of *entry[K, V], the most recently used first
	byKey  map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New returns an empty Map of at most so many values; the bound is 1 or more.
func New[K comparable, V any](most int) *Map[K, V] {
	return &Map[K, V]{most: most, recent: list.New(), byKey: map[K]*list.Element{}}
}

// Use returns the value of key, which is then the most recently used. If there
// is none, create makes it; create must not use the map.
func (m *Map[K, V]) Use(key K, create func() V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byKey[key]; ok {
		m.recent.MoveToFront(e)
		return e.Value.(*entry[K, V]).value
	}
	if m.recent.Len() >= m.most {
		delete(m.byKey, m.recent.Remove(m.recent.Back()).(*entry[K, V]).key)
	}
	v := create()
	m.byKey[key] = m.recent.PushFront(&entry[K, V]{key, v})
	return v
}

// Peek returns the value of key, if there is one, and leaves its age alone.
func (m *Map[K, V]) Peek(key K) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byKey[key]
	if !ok {
		return v, false
	}
	return e.Value.(*entry[K, V]).value, true
}

// Clear forgets all.
func (m *Map[K, V]) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recent.Init()
	clear(m.byKey)
}
