package serve

import (
	"log/slog"
	"testing"

	"github.com/unite-hub/berth"
)

// The parts of a term are made before its loop has asked the engine: what is
// known of it from before goes on to hold.
func TestATermThatHasJustBegunKnowsItsEngine(t *testing.T) {
	s := &server{parsed: parsed{Config: Default()}, log: slog.New(slog.DiscardHandler)}
	s.helm = &helm{}
	want := berth.EngineInfo{ID: "e", Cores: 2}
	s.helm.heard(want, nil)
	s.helm.term.Store(s.newTerm(nil, "e", func() error { return nil }))
	if got, up := s.helm.EngineInfo(); !up || got != want {
		t.Errorf("%+v, %v", got, up)
	}
}
