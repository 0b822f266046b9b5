package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) provisionCommand() *cobra.Command {
	var p client.Provision
	var env envFlags
	var cpu float64
	var memory, disk, replicas int
	cmd := &cobra.Command{
		Use:   "provision --org UUID --name NAME",
		Short: "Give an organization its tenant",
		Args:  cobra.NoArgs,
		Example: `  berth provision --org 550e8400-e29b-41d4-a716-446655440001 --name "Acme Corp" --start
  berth provision --org 550e8400-e29b-41d4-a716-446655440001 --name Acme --image registry.example.com/app:v2 --env-file acme.env`,
	}
	f := cmd.Flags()
	f.StringVar(&p.OrganizationID, "org", "", "organization id, a UUID")
	f.StringVar(&p.TenantName, "name", "", "tenant's name, 1-100 characters")
	f.StringVar(&p.Slug, "slug", "", "one DNS label; made from the name if left out")
	f.Float64Var(&cpu, "cpu", 0, "CPU limit of the whole tenant in cores, above 0 to 4.0 (default: the blueprint's, 0.5 for the built-in one)")
	f.IntVar(&memory, "memory", 0, "memory limit of the whole tenant in MB, 256 to 8192 (default: the blueprint's, 512 for the built-in one)")
	f.IntVar(&disk, "disk", 0, "disk limit in MB, 1024 or more (default: the blueprint's, 2048 for the built-in one)")
	f.StringVar(&p.Blueprint, "blueprint", "", "blueprint, NAME or NAME@VERSION (default: the server's, builtin unless it was told otherwise)")
	f.StringVar(&p.ImageTag, "image", "", "tag of the blueprint's image, or a full reference (default: the blueprint's, latest for the built-in one)")
	f.StringArrayVar(&p.Domains, "domain", nil, "host name of the tenant's own; not supported yet")
	f.IntVar(&replicas, "replicas", 0, "containers that answer requests (default: the blueprint's, 1 for the built-in one)")
	f.BoolVar(&p.Start, "start", false, "start it at once")
	f.BoolVar(&p.LeaveData, "leave-data", false, "let a service begin empty at a path where an earlier tenant of the organization left data; refused without it")
	env.add(cmd)
	a.waitFlag(cmd)
	for _, name := range []string{"org", "name"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if p.Environment, err = env.read(a.Getenv); err != nil {
			return err
		}
		given(cmd, "cpu", &p.CPULimit, cpu)
		given(cmd, "memory", &p.MemoryLimitMB, memory)
		given(cmd, "disk", &p.DiskLimitMB, disk)
		given(cmd, "replicas", &p.Replicas, replicas)
		var made client.Provisioned
		_, err = a.order(cmd.Context(), func(ctx context.Context, c *client.Client, call client.Call) (outcome, error) {
			made, err = c.Provision(ctx, p, call)
			return outcome{org: made.OrganizationID, deployment: made.DeploymentID, done: made.Done, undo: "deprovision"}, err
		})
		if err != nil {
			return err
		}
		return a.show(func() [][]string {
			return [][]string{
				{"ORGANIZATION", "SLUG", "STATUS", "PORT", "URL"},
				{made.OrganizationID, made.Slug, made.Status, strconv.Itoa(made.ExternalPort), made.TenantURL},
			}
		})
	}
	return cmd
}
