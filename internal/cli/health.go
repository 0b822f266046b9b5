package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) healthCommand() *cobra.Command {
	hours := 24
	cmd := &cobra.Command{Use: "health ORG", Short: "Show the last probes of a tenant, and its availability", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		h, err := c.Health(cmd.Context(), args[0], 20, hours)
		if err != nil {
			return err
		}
		if err := a.show(func() [][]string {
			rows := [][]string{{"CHECKED", "STATUS", "HTTP", "TIME", "CPU", "MEMORY", "CAUSE"}}
			for _, p := range h.Checks {
				cpu, memory := "-", "-"
				if p.CPUUsagePercent != nil {
					cpu = fmt.Sprintf("%.1f %%", *p.CPUUsagePercent)
				}
				if p.MemoryUsageMB != nil {
					memory = megabytes(*p.MemoryUsageMB)
				}
				code, took := checkCells(p)
				rows = append(rows, []string{ago(time.Now(), &p.CheckedAt), p.Status, code, took, cpu, memory, orDash(p.ErrorMessage)})
			}
			return rows
		}); err != nil || a.output == "json" {
			return err
		}
		if h.Availability != nil {
			_, err = fmt.Fprintf(a.Stdout, "available %.3f %% of %d checks in %d hours\n", *h.Availability*100, h.CheckCount, h.Hours)
		}
		return err
	}}
	cmd.Flags().IntVar(&hours, "hours", hours, "that availability is summed over")
	return cmd
}

func (a *app) healthCheckCommand() *cobra.Command {
	limit := 1000
	cmd := &cobra.Command{Use: "health-check", Short: "Probe every running tenant once, now", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		s, err := c.SweepHealth(cmd.Context(), limit)
		if err != nil {
			return err
		}
		if err := a.show(func() [][]string { return sweepRows(s) }); err != nil || a.output == "json" {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%d healthy, %d unhealthy, %d timed out, %d unknown; %d more are not listed\n",
			s.Healthy, s.Unhealthy, s.Timeout, s.Unknown, s.Omitted)
		return err
	}}
	cmd.Flags().IntVar(&limit, "limit", limit, "tenants to list, those that are not well first; all are checked")
	return cmd
}

func sweepRows(s client.Sweep) [][]string {
	rows := [][]string{{"ORGANIZATION", "SLUG", "STATUS", "HTTP", "TIME", "CAUSE"}}
	for _, t := range s.Tenants {
		row := []string{t.OrganizationID, t.Slug, "unknown", "-", "-", "-"}
		if t.Check != nil {
			code, took := checkCells(*t.Check)
			row = []string{t.OrganizationID, t.Slug, t.Check.Status, code, took, orDash(t.Check.ErrorMessage)}
		}
		rows = append(rows, row)
	}
	return rows
}

func checkCells(p client.Probe) (code, took string) {
	code, took = "-", "-"
	if p.HTTPStatusCode != nil {
		code = strconv.Itoa(*p.HTTPStatusCode)
	}
	if p.ResponseTimeMs != nil {
		took = fmt.Sprintf("%.0f ms", *p.ResponseTimeMs)
	}
	return code, took
}
