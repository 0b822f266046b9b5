package reconcile

import (
	"context"
	"testing"
	"time"
)

// However much waits that is urgent.
func TestWhatIsUrgentStarvesNobody(t *testing.T) {
	l := newLane(4, time.Hour)
	bg := context.Background()
	got := make(chan struct{})
	var held []*place
	for range 5 {
		p, _ := l.acquire(bg, "u", urgent)
		held = append(held, p)
	}
	go func() { l.acquire(bg, "o", ordered); close(got) }()
	time.Sleep(20 * time.Millisecond)
	for range 1000 { // there is always another urgent one
		next := make(chan *place)
		go func() { p, _ := l.acquire(bg, "u", urgent); next <- p }()
		time.Sleep(100 * time.Microsecond)
		held[0].leave()
		held = append(held[1:], nil)
		select {
		case p := <-next:
			held[len(held)-1] = p
		case <-got:
			return
		}
	}
	t.Error("1000 urgent ones went before one that is ordered")
}
