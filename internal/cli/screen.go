package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// screen is a terminal that is drawn on as a whole.
type screen struct {
	in  *os.File // nil if standard input is no terminal: then there are no keys
	out *os.File
}

// screenOf returns nil if out is no terminal.
func screenOf(in io.Reader, out io.Writer) *screen {
	f, ok := out.(*os.File)
	if !ok || !isTerminal(f) {
		return nil
	}
	s := &screen{out: f}
	if f, ok := in.(*os.File); ok && isTerminal(f) {
		s.in = f
	}
	return s
}

func isTerminal(f *os.File) (yes bool) {
	_ = control(f, func(fd int) error { yes = term.IsTerminal(fd); return nil })
	return yes
}

// control calls fn with the file's descriptor. File.Fd would make it blocking
// for good.
func control(f *os.File, fn func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	inner := error(nil)
	err = raw.Control(func(fd uintptr) { inner = fn(int(fd)) })
	return errors.Join(err, inner)
}

const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	endLine     = "\x1b[K" // clears what the last frame had there
	endFrame    = "\x1b[J"
)

// run gives the screen to fn and takes it back, however fn ends. Keys come
// as bytes, unechoed, Ctrl-C among them.
func (s *screen) run(ctx context.Context, fn func(ctx context.Context, keys <-chan byte) error) (err error) {
	keys := make(chan byte)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.in != nil {
		var before *term.State
		if err := control(s.in, func(fd int) (err error) { before, err = term.MakeRaw(fd); return err }); err != nil {
			return err
		}
		defer func() {
			err = errors.Join(err, control(s.in, func(fd int) error { return term.Restore(fd, before) }))
		}()
		// A read of a terminal can't be ended: the goroutine may last as long as
		// the process, which ends soon.
		go readKeys(ctx, s.in, keys)
	}
	if _, err := io.WriteString(s.out, enterScreen); err != nil {
		return err
	}
	defer func() {
		_, leave := io.WriteString(s.out, leaveScreen)
		err = errors.Join(err, leave)
	}()
	return fn(ctx, keys)
}

func readKeys(ctx context.Context, in io.Reader, keys chan<- byte) {
	defer close(keys)
	var buf [1]byte
	for {
		n, err := in.Read(buf[:])
		if n == 1 {
			select {
			case keys <- buf[0]:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// size is the terminal's, or 80 by 24.
func (s *screen) size() (width, height int) {
	err := control(s.out, func(fd int) (err error) { width, height, err = term.GetSize(fd); return err })
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// draw replaces what is shown in one write, so that it does not flicker. The
// last line ends without a line break: one would scroll.
func (s *screen) draw(lines []string) error {
	frame := home + strings.Join(lines, endLine+"\r\n") + endLine + endFrame
	_, err := io.WriteString(s.out, frame)
	return err
}
