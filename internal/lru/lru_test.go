package lru_test

import (
	"testing"

	"github.com/unite-hub/berth/internal/lru"
)

func TestTheLeastRecentlyUsedIsForgottenFirst(t *testing.T) {
	m := lru.New[string, int](2)
	made := 0
	use := func(key string) int {
		return m.Use(key, func() int { made++; return made })
	}
	use("a")
	use("b")
	if again := use("a"); again != 1 {
		t.Errorf("a was made anew: %d", again)
	}
	use("c")
	if _, kept := m.Peek("b"); kept {
		t.Error("b is kept, though a was used later")
	}
	if v, kept := m.Peek("a"); !kept || v != 1 {
		t.Errorf("a is %d, kept: %v", v, kept)
	}
	use("d")
	if _, kept := m.Peek("a"); kept {
		t.Error("looking at a made it newer than c")
	}
	if m.Len() != 2 {
		t.Errorf("%d are kept", m.Len())
	}
}

func TestAClearedMapKeepsNothingAndTakesNewValues(t *testing.T) {
	m := lru.New[string, int](2)
	for i, key := range []string{"a", "b"} {
		m.Use(key, func() int { return i })
	}
	m.Clear()
	if _, kept := m.Peek("a"); kept || m.Len() != 0 {
		t.Errorf("a kept: %v; %d are kept", kept, m.Len())
	}
	for i, key := range []string{"c", "d", "e"} {
		m.Use(key, func() int { return i })
	}
	if _, kept := m.Peek("c"); kept || m.Len() != 2 {
		t.Errorf("the oldest kept: %v; %d are kept", kept, m.Len())
	}
}
