package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/blueprint"
)

// verdictJSON is what a blueprint was found to be.
type verdictJSON struct {
	File     string           `json:"file"`
	Valid    bool             `json:"valid"`
	Name     string           `json:"name,omitempty"` // of a valid one
	Findings []client.Finding `json:"findings"`
}

func (a *app) blueprintValidateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE", Short: "Print all that is wrong with a file, without a server", Args: cobra.ExactArgs(1),
		Long: `Print all that is wrong with a file, one finding a line:
FILE:LINE: PATH: KIND: RULE (HINT). KIND is invalid, forbidden or
not supported yet. No server is asked. The exit code is 1 if there is a finding.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := a.file(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			verdict := verdictJSON{File: args[0], Findings: []client.Finding{}}
			parsed, findings := blueprint.Parse(source)
			for _, f := range findings {
				verdict.Findings = append(verdict.Findings, client.Finding{Path: f.Path, Line: f.Line, Kind: string(f.Kind), Rule: f.Rule, Hint: f.Hint})
			}
			if verdict.Valid = len(findings) == 0; verdict.Valid {
				verdict.Name = parsed.Name
			}
			if a.output == "json" {
				if err := a.print(verdict, nil); err != nil {
					return err
				}
			} else {
				printFindings(a.Stdout, args[0], verdict.Findings)
			}
			switch n := len(findings); {
			case n == 1:
				return errors.New("the file is no blueprint: 1 finding")
			case n > 1:
				return fmt.Errorf("the file is no blueprint: %d findings", n)
			case a.output != "json":
				_, err = fmt.Fprintf(a.Stdout, "%s: a valid blueprint, %s\n", printable(args[0]), printable(verdict.Name))
			}
			return err
		},
	}
}

// printFindings writes findings as compilers do, so that editors can follow.
func printFindings(w io.Writer, file string, list []client.Finding) {
	for _, f := range list {
		at := file
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d", file, f.Line)
		}
		if f.Path != "" {
			at += ": " + f.Path
		}
		line := fmt.Sprintf("%s: %s: %s", at, f.Kind, f.Rule)
		if f.Hint != "" {
			line += " (" + f.Hint + ")"
		}
		_, _ = fmt.Fprintln(w, printable(line)) // the verdict follows in any case
	}
}

// refused writes the findings of a blueprint that the server did not take.
func (a *app) refused(file string, err error) {
	var remote *client.Error
	if errors.As(err, &remote) {
		printFindings(a.Stderr, file, remote.Findings)
	}
}

func (a *app) blueprintSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of x-berth, for editors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.Stdout.Write(blueprint.Schema())
			return err
		},
	}
}
