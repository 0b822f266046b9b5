package cli

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func tenantRows(list []client.Tenant) [][]string {
	rows := [][]string{{"ORGANIZATION", "SLUG", "NAME", "STATUS", "HEALTH", "BLUEPRINT", "IMAGE", "CPU", "MEMORY", "REPLICAS", "URL"}}
	for _, t := range list {
		rows = append(rows, []string{
			t.OrganizationID, t.Slug, t.TenantName, t.Status, t.HealthStatus, blueprintCell(t), t.ImageTag, cores(t.CPULimit),
			megabytes(t.MemoryLimitMB), strconv.Itoa(t.Replicas), t.TenantURL,
		})
	}
	return rows
}

// blueprintCell names what a tenant is made from, and whether there is newer.
func blueprintCell(t client.Tenant) string {
	if t.BlueprintBehind != nil && *t.BlueprintBehind {
		return t.Blueprint + " (behind)"
	}
	return orDash(&t.Blueprint)
}

func (a *app) lsCommand() *cobra.Command {
	var f client.TenantFilter
	var most int
	cmd := &cobra.Command{Use: "ls", Short: "List tenants", Args: cobra.NoArgs}
	cmd.Flags().IntVar(&most, "limit", 0, "at most so many tenants, the first ones; 0: all")
	cmd.Flags().StringVar(&f.Status, "status", "", "only tenants in this status")
	cmd.Flags().StringVar(&f.Health, "health", "", "only tenants in this health")
	cmd.Flags().StringVarP(&f.Text, "query", "q", "", "only tenants whose name or slug contains this")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		switch {
		case most < 0:
			return usagef("--limit must be at least 0")
		case most == 0:
			most = math.MaxInt
		}
		all, raw, err := upTo(a, most, "tenants", func(cursor string, limit int) ([]client.Tenant, *string, error) {
			f.Cursor, f.Limit = cursor, limit
			page, err := c.Tenants(cmd.Context(), f)
			return page.Tenants, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string { return tenantRows(all) })
	}
	return cmd
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{Use: "status ORG", Short: "Show a tenant as the engine has it now, with one probe", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		st, err := c.Status(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return statusRows(time.Now(), st) })
	}}
}

// underWay tells what is being done. No step is known of an order that is not taken
// up yet, and of one that another control plane carries out.
func underWay(st client.Status) string {
	if st.Step == nil && st.DeploymentID != nil {
		return "deployment " + *st.DeploymentID
	}
	return orDash(st.Step)
}

func statusRows(now time.Time, st client.Status) [][]string {
	known := func(b *bool) string {
		if b == nil {
			return "unknown"
		}
		return map[bool]string{true: "yes", false: "no"}[*b]
	}
	probe := "none"
	if st.ProbeStatus != nil {
		probe = *st.ProbeStatus
		if st.ResponseTimeMs != nil {
			probe += fmt.Sprintf(" in %.0f ms", *st.ResponseTimeMs)
		}
		if st.ProbeError != nil {
			probe += ": " + *st.ProbeError
		}
	}
	rows := [][]string{
		{"name", st.TenantName}, {"organization", st.OrganizationID}, {"slug", st.Slug}, {"url", st.TenantURL},
		{"status", st.Status}, {"health", st.HealthStatus}, {"cause", orDash(st.Cause)},
		{"running", known(st.Running)}, {"healthy", known(st.Healthy)}, {"probe", probe},
		{"blueprint", blueprintCell(st.Tenant)}, {"image", st.ImageTag}, {"digest", orDash(st.ImageDigest)},
		{"cpu", cores(st.CPULimit) + " cores"}, {"memory", megabytes(st.MemoryLimitMB)}, {"disk", megabytes(st.DiskLimitMB)},
		{"replicas", strconv.Itoa(st.Replicas)}, {"generation", strconv.Itoa(st.Generation)},
		{"started", ago(now, st.LastStartedAt)}, {"under way", underWay(st)},
	}
	if !st.EngineReachable {
		rows = append(rows, []string{"engine", "does not answer: what is shown was seen before"})
	}
	for _, c := range st.Containers {
		rows = append(rows, []string{"container", c.ContainerName + "  " + c.State})
	}
	return rows
}
