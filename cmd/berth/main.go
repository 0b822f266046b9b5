// Berth gives every customer of a SaaS product its own stack of containers.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/unite-hub/berth/internal/cli"
	"github.com/unite-hub/berth/internal/serve"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Main(ctx, cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
		Terminal: isTerminal(os.Stderr) && isTerminal(os.Stdin), Serve: serve.Run,
	}))
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
