package serve

import (
	"strings"
	"testing"
)

func TestBoundsOfTheEdgeThatMakeNoSenseAreRefused(t *testing.T) {
	for flag, set := range map[string]func(e *EdgeLimits){
		"tenant-connections":        func(e *EdgeLimits) { e.Connections = 0 },
		"client-connections":        func(e *EdgeLimits) { e.PerClient = -1 },
		"client-connections-in-all": func(e *EdgeLimits) { e.PerClientInAll = -1 },
		"edge-memory":               func(e *EdgeLimits) { e.Memory = 15 },
		"min-body-rate":             func(e *EdgeLimits) { e.MinBodyRate = 0 },
	} {
		e := DefaultEdgeLimits()
		if err := e.check(); err != nil {
			t.Fatal(err)
		}
		set(&e)
		if err := e.check(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
