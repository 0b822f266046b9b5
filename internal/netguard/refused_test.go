package netguard_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth/internal/netguard"
)

func refused(n int) *queue {
	q := make(queue, n)
	for i := range q {
		q[i] = &from{addr: &net.TCPAddr{IP: net.IP{10, 64, 0, 9}, Port: 5}}
	}
	return &q
}

func TestAListenerWithoutALogRefuses(t *testing.T) {
	l := &netguard.Listener{Listener: refused(1), Pool: netip.MustParsePrefix("10.64.0.0/12")}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAFloodOfRefusalsIsALineASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &netguard.Listener{Pool: netip.MustParsePrefix("10.64.0.0/12"),
			Log: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		for range 2 {
			l.Listener = refused(1000)
			_, _ = l.Accept()
			<-time.After(time.Second) // of the bubble's clock
		}
		l.Listener = refused(1)
		_, _ = l.Accept()
		var got []int
		for dec := json.NewDecoder(&out); dec.More(); {
			var line struct{ Suppressed int }
			if err := dec.Decode(&line); err != nil {
				t.Fatal(err)
			}
			got = append(got, line.Suppressed)
		}
		if len(got) != 3 || got[0] != 0 || got[1] != 999 || got[2] != 999 {
			t.Errorf("suppressed, line by line: %v", got)
		}
	})
}
