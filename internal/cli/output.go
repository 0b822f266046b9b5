package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"
)

// show writes the API's answer: as it came, indented, or as the table that rows
// makes of it.
func (a *app) show(rows func() [][]string) error {
	return a.print(json.RawMessage(a.answer), rows)
}

// print writes data as JSON, or as the table that rows makes: the first row is
// the heading.
func (a *app) print(data any, rows func() [][]string) error {
	if a.output == "json" {
		enc := json.NewEncoder(a.text())
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(data)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows() {
		for i, cell := range row {
			row[i] = printable(cell)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t ")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// printable keeps what a tenant is called from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\ufffd'
		}
		return r
	}, s)
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return *s
}

func cores(n float64) string { return fmt.Sprintf("%.2f", n) }

func megabytes(n int) string { return fmt.Sprintf("%d MB", n) }
