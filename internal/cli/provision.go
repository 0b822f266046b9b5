package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
)

func (a *app) provisionCommand() *cobra.Command {
	var p client.Provision
	var env envFlags
	cpu, memory, disk, replicas := berth.DefaultCPU, berth.DefaultMemMB, berth.DefaultDisk, 1
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
	f.Float64Var(&cpu, "cpu", cpu, "CPU limit in cores, above 0 to 4.0")
	f.IntVar(&memory, "memory", memory, "memory limit in MB, 256 to 8192")
	f.IntVar(&disk, "disk", disk, "disk limit in MB, 1024 or more")
	f.StringVar(&p.ImageTag, "image", "", "tag of the blueprint's image, or a full reference (default latest)")
	f.StringArrayVar(&p.Domains, "domain", nil, "host name of the tenant's own; not supported yet")
	f.IntVar(&replicas, "replicas", replicas, "containers that answer requests")
	f.BoolVar(&p.Start, "start", false, "start it at once")
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
		p.CPULimit, p.MemoryLimitMB, p.DiskLimitMB, p.Replicas = &cpu, &memory, &disk, &replicas
		var made client.Provisioned
		_, err = a.order(cmd.Context(), func(ctx context.Context, c *client.Client, call client.Call) (outcome, error) {
			made, err = c.Provision(ctx, p, call)
			return outcome{org: made.OrganizationID, deployment: made.DeploymentID, done: made.Done}, err
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
