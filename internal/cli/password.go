package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// password asks for a password on a terminal, without showing it, and reads
// the first line of standard input where that is none.
func (a *app) password(ctx context.Context, piped bool) (password string, err error) {
	in, ok := a.Stdin.(*os.File)
	terminal := ok && isTerminal(in)
	switch {
	case terminal && piped:
		return "", usagef("--password-stdin, and standard input is a terminal: pipe the password in, or leave the flag out")
	case terminal:
		password, err = askHidden(ctx, in, a.Stderr)
	default:
		password, err = a.line(ctx)
		password = strings.TrimRight(password, "\r\n")
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && !errors.Is(err, io.EOF):
		return "", err
	case password == "":
		return "", usagef("no password on standard input")
	}
	return password, nil
}

// askHidden reads a line of a terminal that shows nothing of it, and gives the
// terminal back as it was. Ctrl-C is io.EOF.
func askHidden(ctx context.Context, in *os.File, prompt io.Writer) (line string, err error) {
	var before *term.State
	if err := control(in, func(fd int) (err error) { before, err = term.MakeRaw(fd); return err }); err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, control(in, func(fd int) error { return term.Restore(fd, before) }))
	}()
	ask := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, prompt}, "")
	return unlessEnded(ctx, func() (string, error) { return ask.ReadPassword("Password: ") })
}
