package cli

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// text is where goes what others wrote: standard output, and on a terminal
// without what would steer it.
func (a *app) text() io.Writer {
	if f, ok := a.Stdout.(*os.File); ok && isTerminal(f) {
		return &harmless{to: a.Stdout}
	}
	return a.Stdout
}

// harmless shows control characters instead of passing them on: ESC as ␛, and
// what has no picture as U+FFFD. Line ends and tabs stay.
type harmless struct {
	to   io.Writer
	rest []byte // of a character whose end has not come yet
}

// Write implements io.Writer.
func (h *harmless) Write(p []byte) (int, error) {
	in := append(h.rest, p...)
	h.rest = nil
	out := make([]byte, 0, len(in))
	for len(in) > 0 {
		if !utf8.FullRune(in) {
			h.rest = append([]byte(nil), in...)
			break
		}
		r, size := utf8.DecodeRune(in)
		in = in[size:]
		out = utf8.AppendRune(out, visible(r))
	}
	if _, err := h.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// visible is what stands for a character on a terminal.
func visible(r rune) rune {
	const pictures, deleted, pictureOfDeleted = 0x2400, 0x7f, 0x2421
	switch {
	case r == '\n' || r == '\t':
		return r
	case r < ' ':
		return pictures + r
	case r == deleted:
		return pictureOfDeleted
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return utf8.RuneError
	}
	return r
}

// shownText is a text of several lines without what would steer a terminal.
func shownText(s string) string { return strings.Map(visible, s) }
