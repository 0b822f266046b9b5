package cli

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := group("audit", "Show who did what and who was refused")
	cmd.AddCommand(a.auditLsCommand(), a.auditExportCommand(), a.auditVerifyCommand())
	return cmd
}

// auditFlags narrow what is shown.
func auditFlags(cmd *cobra.Command) func() (client.AuditFilter, error) {
	var f client.AuditFilter
	var from, to string
	cmd.Flags().StringVar(&f.OrganizationID, "org", "", "id of an organization, or installation for what belongs to none (default all)")
	cmd.Flags().StringVar(&f.Actor, "actor", "", "id of a token or a user")
	cmd.Flags().StringVar(&f.Action, "action", "", "such as tenant.deploy, or tenant. for all that begin so")
	cmd.Flags().StringVar(&f.Outcome, "outcome", "", "done or denied")
	cmd.Flags().StringVar(&from, "from", "", "from this time on, RFC 3339")
	cmd.Flags().StringVar(&to, "to", "", "before this time, RFC 3339")
	return func() (client.AuditFilter, error) {
		for flag, at := range map[string]struct {
			text string
			to   *time.Time
		}{"from": {from, &f.From}, "to": {to, &f.To}} {
			if at.text == "" {
				continue
			}
			t, err := time.Parse(time.RFC3339, at.text)
			if err != nil {
				return f, usagef("--%s must be a time such as 2030-01-31T12:00:00Z; %q was given", flag, at.text)
			}
			*at.to = t
		}
		return f, nil
	}
}

func (a *app) auditLsCommand() *cobra.Command {
	limit := 50
	cmd := &cobra.Command{Use: "ls", Short: "List entries, newest first", Args: cobra.NoArgs}
	filter := auditFlags(cmd)
	cmd.Flags().IntVar(&limit, "limit", limit, "how many at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f, err := filter()
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		list, raw, err := upTo(a, limit, "entries", func(cursor string, limit int) ([]client.AuditEntry, *string, error) {
			f.Cursor, f.Limit = cursor, limit
			page, err := c.Audit(cmd.Context(), f)
			return page.Entries, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string { return auditRows(list) })
	}
	return cmd
}

func auditRows(list []client.AuditEntry) [][]string {
	rows := [][]string{{"WHEN", "ORGANIZATION", "SEQ", "ACTOR", "ROLE", "ADDRESS", "ACTION", "TARGET", "OUTCOME", "CODE", "REQUEST"}}
	for _, e := range list {
		actor := e.ActorName
		if actor == nil {
			actor = e.ActorID
		}
		rows = append(rows, []string{
			e.At.Format(time.RFC3339), orDash(e.OrganizationID), strconv.FormatInt(e.Seq, 10), orDash(actor), orDash(e.ActorRole), orDash(e.Address),
			e.Action, orDash(e.Target), e.Outcome, orDash(e.Code), orDash(e.RequestID),
		})
	}
	return rows
}

func (a *app) auditExportCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "export", Short: "Write all entries, a line of JSON each, oldest first", Args: cobra.NoArgs}
	filter := auditFlags(cmd)
	cmd.Flags().StringVar(&path, "file", "", "new file to write to (default standard output)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		f, err := filter()
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		to := a.text()
		if path != "" {
			file, failed := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if failed != nil {
				return failed
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			to = file
		}
		r, err := c.ExportAudit(cmd.Context(), f)
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		if _, err := io.Copy(to, r); err != nil {
			return fmt.Errorf("the export is cut off: %w", err)
		}
		return nil
	}
	return cmd
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var org, path, head string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that a chain of entries is as it was written", Args: cobra.NoArgs,
		Long: `Check that a chain of entries is as it was written.

Berth walks along the chain of the installation, or of --org. With --file this
program itself does, along all chains in an export, and asks nobody. An export
must hold all entries of a chain, or all from some time on.

It prints the hash of the last entry. Keep it elsewhere and give it as --head
the next time: entries that were taken off the end show by nothing else.`,
	}
	cmd.Flags().StringVar(&org, "org", "", "id of the organization whose chain it is (default the installation's)")
	cmd.Flags().StringVar(&path, "file", "", "export to check; - for standard input")
	cmd.Flags().StringVar(&head, "head", "", "hash of an entry that must be in the chain")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if path != "" {
			return a.verifyFile(path, org, head)
		}
		if head != "" {
			return usagef("--head needs --file: export the chain and check the file")
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		v, err := c.VerifyAudit(cmd.Context(), org)
		if err != nil {
			return err
		}
		if err := a.show(func() [][]string {
			return [][]string{{"ENTRIES", "INTACT", "HEAD"}, {strconv.FormatInt(v.Entries, 10), yesNo(v.Intact), orNone(v.Head)}}
		}); err != nil || v.Intact {
			return err
		}
		return broken(orNone(org), *v.FirstBroken)
	}
	return cmd
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func broken(chain string, seq int64) error {
	return berth.Errorf(berth.CodeInternal, "the chain of %s is broken at entry %d: it or what came before was changed, or taken out", chain, seq).
		WithHint("compare with a copy of the database from before, and find out who could write to it")
}

// chain is what was read of one so far.
type chain struct {
	Chain   string `json:"chain"` // organization, or "installation"
	Entries int64  `json:"entries"`
	First   int64  `json:"first"` // seq; above 1 if the export begins later
	Head    string `json:"head"`

	last *berth.AuditEntry
}

// take appends an entry, if it follows.
func (c *chain) take(e berth.AuditEntry) error {
	follows := e.Follows(c.last)
	if c.last == nil && e.Seq > 1 { // an export that begins later
		follows = string(e.Hash) == string(e.Sum())
	}
	if !follows {
		return broken(c.Chain, e.Seq)
	}
	if c.last == nil {
		c.First = e.Seq
	}
	c.Entries, c.Head, c.last = c.Entries+1, hex.EncodeToString(e.Hash), &e
	return nil
}

func (a *app) verifyFile(path, org, head string) error {
	in := io.NopCloser(a.Stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		in = f
	}
	defer func() { _ = in.Close() }()
	chains, seen, err := readChains(in, org, strings.ToLower(head))
	if err != nil {
		return err
	}
	if head != "" && !seen {
		return berth.Errorf(berth.CodeInternal, "no entry has the hash %s", head).
			WithHint("entries were taken off the end or the export holds another chain; compare with a copy of the database from before")
	}
	if len(chains) == 0 && org != "" { // nothing was checked, which must not look like "intact"
		return berth.Errorf(berth.CodeInvalidRequest, "the export holds no entry of %s", org).WithField("org").
			WithHint("give the id of an organization whose entries were exported, or leave --org out to check all")
	}
	list := make([]*chain, 0, len(chains))
	for _, name := range slices.Sorted(maps.Keys(chains)) {
		list = append(list, chains[name])
	}
	return a.print(map[string]any{"chains": list, "intact": true}, func() [][]string {
		rows := [][]string{{"CHAIN", "ENTRIES", "FIRST", "HEAD"}}
		for _, c := range list {
			rows = append(rows, []string{c.Chain, strconv.FormatInt(c.Entries, 10), strconv.FormatInt(c.First, 10), c.Head})
		}
		return rows
	})
}

// readChains walks along all chains in an export, or along one.
func readChains(in io.Reader, org, head string) (chains map[string]*chain, seen bool, err error) {
	chains = map[string]*chain{}
	dec := json.NewDecoder(bufio.NewReader(in))
	for line := 1; ; line++ {
		var w client.AuditEntry
		err := dec.Decode(&w)
		if errors.Is(err, io.EOF) {
			return chains, seen, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("entry %d of the file: %w", line, err)
		}
		e, err := w.Entry()
		if err != nil {
			return nil, false, err
		}
		name := e.OrganizationID
		if name == "" {
			name = "installation"
		}
		if org != "" && org != name {
			continue
		}
		if chains[name] == nil {
			chains[name] = &chain{Chain: name}
		}
		if err := chains[name].take(e); err != nil {
			return nil, false, err
		}
		seen = seen || w.Hash == head
	}
}
