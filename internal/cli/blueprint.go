package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
)

func (a *app) blueprintCommand() *cobra.Command {
	cmd := group("blueprint", "Compose files that tenants are made from")
	cmd.Long = `A blueprint is a compose file with an x-berth section. Each tenant is an
isolated copy of one version of it, NAME@VERSION, until it is deployed.
FILE may be - for standard input.`
	cmd.AddCommand(a.blueprintLsCommand(), a.blueprintShowCommand(), a.blueprintDiffCommand(), a.blueprintApplyCommand(), a.blueprintValidateCommand(), a.blueprintSchemaCommand())
	return cmd
}

func (a *app) blueprintLsCommand() *cobra.Command {
	return &cobra.Command{Use: "ls", Short: "List every version, newest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, raw, err := everyPage(a, "blueprints", func(cursor string) ([]client.Blueprint, *string, error) {
			page, err := c.Blueprints(cmd.Context(), cursor, 1000)
			return page.Blueprints, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string {
			rows := [][]string{{"BLUEPRINT", "NEWEST", "TENANTS", "APPLIED", "BY", "HASH"}}
			for _, b := range list {
				newest := "-"
				if b.Newest {
					newest = "yes"
				}
				rows = append(rows, []string{b.ID, newest, strconv.Itoa(b.Tenants), ago(time.Now(), &b.CreatedAt), orDash(b.CreatedBy), short(b.Hash)})
			}
			return rows
		})
	}}
}

// short cuts a hash to what tells it apart.
func short(hash string) string {
	if hash == "" {
		return "-" // who sees only a part of the source is not told
	}
	const enough = len("sha256:") + 12
	if len(hash) > enough {
		return hash[:enough]
	}
	return hash
}

func (a *app) blueprintShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show NAME[@VERSION]", Short: "Print a version as it was applied", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		b, err := a.blueprint(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.show(nil)
		}
		_, err = io.WriteString(a.text(), b.Source)
		return err
	}}
}

// blueprint asks for NAME or NAME@VERSION.
func (a *app) blueprint(ctx context.Context, id string) (client.Blueprint, error) {
	name, version, err := berth.ParseBlueprintID(id)
	if err != nil {
		return client.Blueprint{}, err
	}
	c, err := a.client()
	if err != nil {
		return client.Blueprint{}, err
	}
	return c.Blueprint(ctx, name, version)
}

// diffJSON is what two blueprints differ in.
type diffJSON struct {
	From string `json:"from"`
	To   string `json:"to"`
	Same bool   `json:"same"`
	Diff string `json:"diff"` // unified; empty if they are the same
}

func (a *app) blueprintDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff NAME[@VERSION] [NAME[@VERSION]|FILE]", Short: "Show what differs between two versions, or a version and a file", Args: cobra.RangeArgs(1, 2),
		Long: `Show what differs between two versions, or a version and a file; nothing if
they are the same. Without a second one, a version is compared with the newest,
and the newest with the one before. A file in this directory whose name could
be a blueprint's is written ./FILE.`,
		Example: `  berth blueprint diff shop
  berth blueprint diff shop@2 shop@5
  berth blueprint diff shop compose.yml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to, err := a.compared(cmd.Context(), args)
			if err != nil {
				return err
			}
			changes := diff.Diff(from.id, from.source, to.id, to.source) // nil if there are none
			if a.output == "json" {
				return a.print(diffJSON{from.id, to.id, changes == nil, string(changes)}, nil)
			}
			_, err = a.text().Write(changes)
			return err
		},
	}
}

// compose is a compose file and what it is called.
type compose struct {
	id     string
	source []byte
}

// compared finds the two sides of a diff.
func (a *app) compared(ctx context.Context, args []string) (from, to compose, err error) {
	side := func(arg string) (compose, error) {
		if _, _, notID := berth.ParseBlueprintID(arg); notID != nil {
			source, err := a.file(ctx, arg)
			return compose{arg, source}, err
		}
		b, err := a.blueprint(ctx, arg)
		return compose{b.ID, []byte(b.Source)}, err
	}
	name, version, err := berth.ParseBlueprintID(args[0])
	switch {
	case err != nil:
		return from, to, err
	case len(args) == 2:
		if from, err = side(args[0]); err == nil {
			to, err = side(args[1])
		}
		return from, to, err
	}
	newest, err := a.blueprint(ctx, name)
	if err != nil {
		return from, to, err
	}
	to = compose{newest.ID, []byte(newest.Source)}
	if version == 0 {
		if version = newest.Version - 1; version == 0 {
			return from, to, berth.Errorf(berth.CodeInvalidRequest, "%s is the only version", newest.ID).
				WithHint("name a file to compare it with")
		}
	}
	from, err = side(berth.BlueprintID(name, version))
	return from, to, err
}

func (a *app) blueprintApplyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "apply FILE", Short: "Store a file as the next version of its blueprint", Args: cobra.ExactArgs(1),
		Long: `Store a file as the next version of the blueprint that its name: says. Nothing
is stored if the newest version is the same. No tenant changes: berth deploy
brings each to the new version.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := a.file(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			applied, err := c.ApplyBlueprint(cmd.Context(), source)
			if err != nil {
				a.refused(args[0], err)
				return err
			}
			return a.show(func() [][]string {
				change := "new"
				if applied.Unchanged {
					change = "unchanged"
				}
				return [][]string{{"BLUEPRINT", "CHANGE", "TENANTS", "HASH"}, {applied.ID, change, strconv.Itoa(applied.Tenants), short(applied.Hash)}}
			})
		},
	}
}

// file reads a whole file, or standard input for "-".
func (a *app) file(ctx context.Context, path string) ([]byte, error) {
	if path == "-" {
		return unlessEnded(ctx, func() ([]byte, error) { return io.ReadAll(a.Stdin) })
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read blueprint: %w", err)
	}
	return data, nil
}
