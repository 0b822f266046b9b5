// Package cli is the command line: one file per command, each a thin client
// of the REST API, and serve.
package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/serve"
)

// version is set by the linker.
var version = "dev"

// Env is the world around the command line, so that tests can be it.
type Env struct {
	Args     []string // without the program's name
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Getenv   func(string) string
	Terminal bool // a person watches stderr and can answer on stdin
	Serve    func(ctx context.Context, c serve.Config, stdout, stderr io.Writer) error
}

// Exit codes. 3 and 5 are kept for what is not found and not reachable.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 4 // it was not confirmed
	exitPending = 6 // the wait was over before the order was
)

// Main runs one command and returns the exit code.
func Main(ctx context.Context, env Env) int {
	a := &app{Env: env}
	root := a.root()
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil && a.pending:
		return exitPending
	case err == nil:
		return exitOK
	}
	var usage usageError
	wrongUsage := errors.As(err, &usage) || !a.started
	report(env.Stderr, err)
	if wrongUsage {
		_, _ = fmt.Fprintf(env.Stderr, "see: %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	var refused refusedError
	if errors.As(err, &refused) {
		return exitRefused
	}
	return exitFailed
}

// report writes what went wrong, and the way out on a line of its own.
func report(w io.Writer, err error) {
	message, hint := err.Error(), ""
	var remote *client.Error
	var local *berth.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &remote):
		message, hint = printable(remote.Message), printable(remote.Hint) // one line each
	case errors.As(err, &local):
		message, hint = local.Error(), local.Hint
	case errors.As(err, &dial) && dial.Op == "dial":
		hint = "start berth serve there, or set BERTH_URL to where it runs"
	}
	_, _ = fmt.Fprintf(w, "error: %s\n", shownText(message))
	if hint != "" {
		_, _ = fmt.Fprintf(w, "hint: %s\n", shownText(hint))
	}
}

// refusedError is a command that did nothing because nobody confirmed it.
type refusedError struct{ error }

// usageError is a command that was called in a wrong way.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// app is one call of the command line.
type app struct {
	Env
	started  bool // flags and arguments were right
	output   string
	stateDir string
	wait     int    // seconds
	pending  bool   // the wait was over before the order was
	answer   []byte // the newest JSON answer of the API
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Every customer its own stack of containers",
		Long: `Berth gives every customer of a SaaS product its own isolated stack of
containers, and keeps all of them running, reachable and apart.

"berth serve" runs the control plane; every other command asks it.
ORG is an organization id or a tenant's slug.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.ValidateRequiredFlags(); err != nil {
				return err
			}
			a.started = true
			if a.output != "table" && a.output != "json" {
				return usagef("--output must be table or json; %q was given", a.output)
			}
			return refuseEmpty(cmd)
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "table", "how data is printed: table or json")
	root.PersistentFlags().StringVar(&a.stateDir, "state-dir", a.defaultStateDir(), "directory of the control plane's state, with the operator's token (BERTH_STATE_DIR)")
	root.AddCommand(
		a.serveCommand(), a.provisionCommand(), a.startCommand(), a.stopCommand(), a.restartCommand(), a.cancelCommand(), a.scaleCommand(),
		a.deployCommand(), a.rollbackCommand(), a.deploymentsCommand(), a.configureCommand(), a.lsCommand(), a.statusCommand(), a.healthCommand(), a.healthCheckCommand(),
		a.usageCommand(), a.topCommand(), a.logsCommand(), a.composeCommand(), a.eventsCommand(), a.volumesCommand(), a.deprovisionCommand(), a.tokenCommand(), a.userCommand(), a.memberCommand(), a.notifyCommand(), a.organizationCommand(), a.auditCommand(),
		a.registryCommand(), a.keyCommand(), a.blueprintCommand(), a.adoptCommand(), a.backupCommand(), a.migrateCommand(), a.doctorCommand(), a.openapiCommand(), a.versionCommand(),
	)
	return root
}

// refuseEmpty refuses a flag that is given without a value: a variable of a script
// that is not set must not widen what is asked for to what is meant without the
// flag, such as every organization. The settings of serve may be taken back so.
func refuseEmpty(cmd *cobra.Command) (err error) {
	if cmd.Name() == "serve" {
		return nil
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		empty := false
		switch f.Value.Type() {
		case "string":
			empty = f.Value.String() == "" && f.DefValue == "" && f.Name != "notes"
		case "stringSlice":
			empty = f.Value.String() == "[]"
		}
		if empty && err == nil {
			err = usagef("--%s was given without a value: name one, or leave the flag out", f.Name)
		}
	})
	return err
}

// defaultStateDir is where serve keeps its state if nothing else is said.
func (a *app) defaultStateDir() string {
	if dir := a.Getenv("BERTH_STATE_DIR"); dir != "" {
		return dir
	}
	if os.Geteuid() == 0 {
		return "/var/lib/berth"
	}
	if dir := a.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "berth")
	}
	return filepath.Join(a.Getenv("HOME"), ".local", "share", "berth")
}

const defaultURL = "http://127.0.0.1:3008"

// client finds the server and the token.
func (a *app) client() (*client.Client, error) {
	url := a.Getenv("BERTH_URL")
	if url == "" {
		url = defaultURL
	}
	token := a.Getenv("BERTH_TOKEN")
	if token == "" {
		path := filepath.Join(a.stateDir, "operator-token")
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, berth.Errorf(berth.CodeUnauthenticated, "no token: %w", err).
				WithHint("set BERTH_TOKEN, or give the control plane's --state-dir")
		}
		token = strings.TrimSpace(string(data))
	}
	return client.New(url, token, client.WithAnswers(func(body []byte) { a.answer = body }))
}

// group is a command that only holds others.
func group(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
}

// line reads a line of standard input, or gives up when ctx ends.
func (a *app) line(ctx context.Context) (string, error) {
	return unlessEnded(ctx, func() (string, error) { return bufio.NewReader(a.Stdin).ReadString('\n') })
}

// unlessEnded returns what read does, or gives up on it when ctx ends. A read
// of a terminal can't be ended: its goroutine may last as long as the process,
// which ends soon.
func unlessEnded[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// versionText is what this binary is.
func versionText() (text, commit, goVersion string) {
	text, commit = version, "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return text, commit, "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return text, commit, info.GoVersion
}

// ago says how long ago a time was, in the largest unit that fits.
func ago(now time.Time, t *time.Time) string {
	if t == nil {
		return "-"
	}
	switch d := now.Sub(*t); {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d ago", int(d.Hours()/24))
	}
}
