package edge

import (
	"net"
	"testing"
	"time"
)

// 10 GB times a second in nanoseconds is more than 64 bits hold.
func TestABodyThatHasBroughtMuchMayGoOn(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	l := &listener{edge: New(Options{})}
	b := &pacedBody{ReadCloser: here, flow: &flow{listener: l, conn: &conn{Conn: here, listener: l}}, came: 10_000_000_000, waited: time.Minute}
	go there.Write([]byte("x"))
	if _, err := b.Read(make([]byte, 1)); err != nil {
		t.Fatalf("a body that came at any rate is cut off: %v", err)
	}
}
