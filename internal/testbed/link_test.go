package testbed_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/unite-hub/berth/internal/testbed"
)

func TestALinkCarriesStallsRefusesAndCuts(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = echo.Close() }()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	link, err := testbed.NewLink(echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", link.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ask := func(within time.Duration) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := c.Read(make([]byte, 1))
		return err
	}
	if err := ask(10 * time.Second); err != nil {
		t.Fatalf("a good link: %v", err)
	}
	link.Stall(true)
	if err := ask(50 * time.Millisecond); err == nil {
		t.Error("a stalled link carries")
	}
	link.Stall(false)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("what was stalled is lost: %v", err)
	}
	link.Cut(true)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a cut link carries")
	}
	link.Refuse(true)
	if d, err := net.Dial("tcp", link.Addr()); err == nil {
		_ = d.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := d.Read(make([]byte, 1)); err == nil {
			t.Error("a link that refuses carries")
		}
		_ = d.Close()
	}
	if err := link.Close(); err != nil {
		t.Error(err)
	}
}
