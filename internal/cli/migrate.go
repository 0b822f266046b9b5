package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/internal/serve"
)

// migration is what berth migrate was asked for.
type migration struct {
	url, from, to string
	downTo        string
	status, yes   bool
}

func (a *app) migrateCommand() *cobra.Command {
	var m migration
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Lay or update the schema of a PostgreSQL database, or move an installation into one",
		Long: `Lay or update the schema of a PostgreSQL database. The login must own it.

With --from and --to, move an installation from a SQLite file into a PostgreSQL
database that holds none: everything, compared row by row before it counts. Stop
Berth first. The file is brought up to date as berth serve does it, else it is
only read; nothing is deleted. What fails half-way leaves the database empty.

Put a URL with a password into BERTH_DATABASE_URL, not into a flag: others on
this machine see flags.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.migrate(cmd.Context(), m) },
	}
	f := cmd.Flags()
	f.StringVar(&m.url, "database-url", "", "postgres://… (BERTH_DATABASE_URL)")
	f.StringVar(&m.from, "from", "", "sqlite:PATH of an installation to move; sqlite: for the file in the state directory")
	f.StringVar(&m.to, "to", "", "postgres://… to move it to; without it, BERTH_DATABASE_URL")
	f.BoolVar(&m.status, "status", false, "show the version of the schema and change nothing")
	f.StringVar(&m.downTo, "down-to", "", "take the schema back to this version, 0 for none; what the newer ones keep is lost")
	f.BoolVar(&m.yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) migrate(ctx context.Context, m migration) error {
	given := a.Getenv("BERTH_DATABASE_URL")
	if m.url == "" {
		m.url = given
	}
	if m.to == "" && m.from != "" {
		m.to = m.url
	}
	switch {
	case m.from == "" && m.to != "":
		return usagef("--to needs --from")
	case m.from != "" && (m.status || m.downTo != ""):
		return usagef("--from goes with neither --status nor --down-to")
	case m.status && m.downTo != "":
		return usagef("--status and --down-to exclude each other")
	case m.from != "" && m.to == "":
		return usagef("--from needs --to, or BERTH_DATABASE_URL")
	case m.from == "" && m.url == "":
		return usagef("give --database-url, or set BERTH_DATABASE_URL")
	}
	if m.from != "" {
		return a.move(ctx, m)
	}
	if m.status {
		s, err := serve.LookAtSchema(ctx, m.url)
		return a.showSchema(s, err)
	}
	if m.downTo == "" {
		s, err := serve.MigrateUp(ctx, m.url)
		return a.showSchema(s, err)
	}
	to, err := strconv.ParseInt(m.downTo, 10, 64)
	if err != nil || to < 0 {
		return usagef("--down-to must be the number of a version; %q was given", m.downTo)
	}
	if a.Terminal && !m.yes {
		_, _ = fmt.Fprintf(a.Stderr, "Take the schema back to version %d? WHAT THE NEWER ONES KEEP IS LOST. Type yes: ", to)
		if answer, _ := a.line(ctx); strings.TrimSpace(answer) != "yes" {
			return errors.New("nothing was changed")
		}
	}
	s, err := serve.MigrateDown(ctx, m.url, to)
	return a.showSchema(s, err)
}

func (a *app) showSchema(s serve.Schema, err error) error {
	if err != nil {
		return err
	}
	return a.print(s, func() [][]string {
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		return [][]string{{"BEFORE", "NOW", "LATEST"}, {number(s.Before), number(s.Now), number(s.Latest)}}
	})
}

func (a *app) move(ctx context.Context, m migration) error {
	list, err := serve.Move(ctx, a.stateDir, m.from, m.to)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted: nothing was moved")
	}
	if err != nil {
		return err
	}
	err = a.print(list, func() [][]string {
		rows := [][]string{{"TABLE", "ROWS", "COMPARED"}}
		for _, t := range list {
			rows = append(rows, []string{t.Table, strconv.FormatInt(t.Rows, 10), "equal"})
		}
		return rows
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stderr, `everything is in the new database.
next: set BERTH_DATABASE_URL to it and start berth serve with the same --state-dir: its secret.key opens the secrets there too.
the file is as it was; keep it as a backup, and start no Berth on it any more
`)
	return err
}
