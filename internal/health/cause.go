package health

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/unite-hub/berth"
)

var (
	errHeaders = errors.New("the answer's headers are larger than 64 KiB")
	errInterim = errors.New("only interim answers came")
)

// invalidCheck says why a check can't be asked at all.
type invalidCheck string

// Error implements error.
func (e invalidCheck) Error() string { return "the check is not valid: " + string(e) }

// isLate reports whether the deadline ended it. A network's own time-out, such
// as no route's answer, is not the probe's.
func isLate(err error) bool {
	var op *net.OpError
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &op) && op.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}

func late(answered bool, timeout time.Duration) string {
	if answered {
		return fmt.Sprintf("the answer did not end within %s", timeout)
	}
	return fmt.Sprintf("no answer within %s", timeout)
}

func refusal(status int) string {
	s := fmt.Sprintf("answered %d", status)
	if text := http.StatusText(status); text != "" {
		s += " " + text
	}
	if status >= 300 && status <= 399 {
		s += ", a redirect, which a probe does not follow"
	}
	return s
}

func cause(err error, answered bool) string {
	var op *net.OpError
	var invalid invalidCheck
	dialling := errors.As(err, &op) && op.Op == "dial"
	switch {
	case errors.As(err, &invalid), errors.Is(err, errHeaders), errors.Is(err, errInterim):
		return err.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens on the port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the container's address cannot be reached"
	case dialling:
		return "could not connect: " + op.Err.Error()
	case answered:
		return "the connection broke off within the answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was closed without an answer"
	}
	return "no valid HTTP answer: " + berth.Quote(err.Error())
}
