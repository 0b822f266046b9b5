package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/pattern"
)

// reason says why a connection failed. It names neither URL nor address: an
// organization's own people read it, and what lies inside is none of their
// business; nor is what a resolver or a certificate is called.
func reason(err error) error {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case berth.Is(err, berth.CodeForbidden):
		return errors.New("the receiver has an address inside: give one on the Internet, or have the operator allow its network with --notify-allow")
	case errors.Is(err, context.Canceled):
		return errors.New("sending was broken off")
	case errors.As(err, &dns) && dns.IsNotFound:
		return errors.New("there is no such host")
	case errors.As(err, &dns):
		return errors.New("the receiver's name could not be looked up")
	case errors.As(err, &certificate):
		return errors.New("the receiver's certificate is not trusted, is over, or is for another name")
	case errors.As(err, &record):
		return errors.New("the receiver does not speak TLS")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the receiver did not answer in time")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the receiver refused the connection")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errors.New("the receiver closed the connection without an answer")
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return errors.New("the receiver could not be reached")
	}
	return errors.New("the receiver's answer is not one of HTTP")
}

// addressLike is what may be an address, with a port or without.
var addressLike = pattern.Of(`\[?[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]+(?:%[0-9A-Za-z]+)?\]?(?::[0-9]+)?`)

// withoutAddresses is a text in which no IP address stands, whoever wrote it.
func withoutAddresses(text string) string {
	return addressLike().ReplaceAllStringFunc(text, func(word string) string {
		rest := strings.TrimRight(word, ".:") // the end of a sentence
		bare := strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")
		if _, err := netip.ParseAddr(bare); err == nil {
			return "(address)" + word[len(rest):]
		}
		if _, err := netip.ParseAddrPort(rest); err == nil {
			return "(address)" + word[len(rest):]
		}
		return word
	})
}
