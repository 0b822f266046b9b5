package control

import (
	"reflect"
	"testing"

	"github.com/unite-hub/berth"
)

// newLoop is a loop that has not asked its engine yet.
type newLoop struct{ Loop }

func (newLoop) EngineInfo() (info berth.EngineInfo, ok bool) { return info, false }

// The parts of a term are made before its loop has asked the engine: what is
// known of it from before goes on to hold.
func TestATermThatHasJustBegunKnowsItsEngine(t *testing.T) {
	v := NewView(nil, nil, nil, false)
	want := berth.EngineInfo{ID: "e", Cores: 2}
	v.setEngineInfo(want, nil)
	v.term.Store(&Term{Loop: newLoop{}})
	if got, up := v.EngineInfo(); !up || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, up)
	}
}
