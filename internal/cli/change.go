package cli

import (
	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) scaleCommand() *cobra.Command {
	var cpu float64
	var memory, replicas int
	var cmd *cobra.Command
	cmd = a.changeCommand("scale ORG", "Change CPU and memory without a restart, or the number of replicas", func() (client.Order, error) {
		var s client.Scale
		given(cmd, "cpu", &s.CPULimit, cpu)
		given(cmd, "memory", &s.MemoryLimitMB, memory)
		given(cmd, "replicas", &s.Replicas, replicas)
		return s, nil
	})
	cmd.Flags().Float64Var(&cpu, "cpu", 0, "CPU limit in cores, above 0 to 4.0")
	cmd.Flags().IntVar(&memory, "memory", 0, "memory limit in MB, 256 to 8192")
	cmd.Flags().IntVar(&replicas, "replicas", 0, "containers that answer requests")
	return cmd
}

// given points to at value if the flag was set.
func given[T any](cmd *cobra.Command, flag string, to **T, value T) {
	if cmd.Flags().Changed(flag) {
		*to = &value
	}
}

func (a *app) deployCommand() *cobra.Command {
	var image, blueprint, notes string
	var leaveData bool
	var env envFlags
	var cmd *cobra.Command
	cmd = a.changeCommand("deploy ORG", "Deploy a blueprint, an image, an environment or all of them", func() (client.Order, error) {
		d := client.Deploy{Notes: notes, LeaveData: leaveData}
		given(cmd, "image", &d.ImageTag, image)
		given(cmd, "blueprint", &d.Blueprint, blueprint)
		var err error
		if d.Environment, err = a.delta(env, nil); err != nil {
			return nil, err
		}
		return d, nil
	})
	cmd.Flags().StringVar(&blueprint, "blueprint", "", "blueprint, NAME or NAME@VERSION (default: the newest version of the tenant's own)")
	cmd.Flags().StringVar(&image, "image", "", "tag of the blueprint's image, or a full reference; the present tag is looked up again if left out")
	cmd.Flags().BoolVar(&leaveData, "leave-data", false, "let a service begin empty at a path where the tenant has data, which stays in its volume; refused without it")
	env.add(cmd)
	notesFlag(cmd, &notes)
	return cmd
}

func notesFlag(cmd *cobra.Command, notes *string) {
	cmd.Flags().StringVar(notes, "notes", "", "why, for the history")
}

// delta is the change of an environment: variables that are set, and names
// that are removed.
func (a *app) delta(env envFlags, unset []string) (map[string]*string, error) {
	values, err := env.read(a.Getenv)
	if err != nil || len(values)+len(unset) == 0 {
		return nil, err
	}
	delta := make(map[string]*string, len(values)+len(unset))
	for name, value := range values {
		delta[name] = &value
	}
	for _, name := range unset {
		delta[name] = nil
	}
	return delta, nil
}

func (a *app) rollbackCommand() *cobra.Command {
	var to, notes string
	cmd := a.changeCommand("rollback ORG", "Return to an earlier deployment's image, limits and plain environment", func() (client.Order, error) {
		return client.Rollback{DeploymentID: to, Notes: notes}, nil
	})
	notesFlag(cmd, &notes)
	cmd.Flags().StringVar(&to, "to", "", "deployment to return to (default the last good one before the present one)")
	return cmd
}

func (a *app) configureCommand() *cobra.Command {
	var name string
	var disk int
	var env envFlags
	var unset []string
	var cmd *cobra.Command
	cmd = a.changeCommand("configure ORG", "Change a tenant's name, disk limit or environment", func() (client.Order, error) {
		in := client.Configure{}
		given(cmd, "name", &in.TenantName, name)
		given(cmd, "disk", &in.DiskLimitMB, disk)
		var err error
		if in.Environment, err = a.delta(env, unset); err != nil {
			return nil, err
		}
		return in, nil
	})
	cmd.Flags().StringVar(&name, "name", "", "tenant's name, 1-100 characters")
	cmd.Flags().IntVar(&disk, "disk", 0, "disk limit in MB, 1024 or more")
	cmd.Flags().StringArrayVar(&unset, "unset", nil, "variable to remove; repeatable")
	env.add(cmd)
	return cmd
}
