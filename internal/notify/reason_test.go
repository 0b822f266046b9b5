package notify

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestAnErrorOfADeliveryNamesNoAddress(t *testing.T) {
	for text, want := range map[string]string{
		"dial tcp 10.0.0.5:25: connect: connection refused": "dial tcp (address): connect: connection refused",
		"lookup mail.example.com on 10.1.2.3:53: no such":   "lookup mail.example.com on (address): no such",
		"read tcp [fd00::1]:4->[::1]:9: reset":              "read tcp (address)->(address): reset",
		"relay of fe80::1%eth0 denied at 192.168.0.1.":      "relay of (address) denied at (address).",
		"550 5.1.1 no such user: at 12:30":                  "550 5.1.1 no such user: at 12:30",
	} {
		if got := withoutAddresses(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Whatever goes wrong with a connection, what is told of it holds nothing of
// where it went: no address, no name, no path.
func TestAReasonNamesNothingOfTheConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for _, url := range []string{"http://" + l.Addr().String() + "/canary", "http://canary.invalid/"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
		_, err := transport.RoundTrip(r)
		if err == nil {
			t.Fatal("it was reached")
		}
		if got := reason(err).Error(); strings.ContainsAny(got, "0123456789") || strings.Contains(got, "canary") {
			t.Errorf("%v is told as %q", err, got)
		}
	}
	inner := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9)}, Err: errors.New("canary")}
	if got := reason(inner).Error(); got != "the receiver could not be reached" {
		t.Errorf("%q", got)
	}
}
