package docker

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// made is what a container was made with of that which the Engine lets anyone
// change while the container lives. Everything else is fixed for a container's
// life; labels are too, and so this is kept in one.
type made struct {
	Restart container.RestartPolicyMode `json:"restart"`
	Pids    int64                       `json:"pids"`
	Aliases []string                    `json:"aliases"`
}

func (m made) label() string {
	data, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and a number
	}
	return string(data)
}

// madeOf reads it back; ok is false for a container that was made before there
// was such a label.
func madeOf(labels map[string]string) (m made, ok bool) {
	return m, json.Unmarshal([]byte(labels[labelMade]), &m) == nil
}

// differences says how a container is unlike what it was made as. Memory and
// CPU are told as limits in force: the tenant's change. A container that stands
// beside another one's has its names inside the network only later.
func differences(i container.InspectResponse) (list []string) {
	name, labels := strings.TrimPrefix(i.Name, "/"), i.Config.Labels
	org := labels[berth.LabelTenantID]
	var networks map[string]*network.EndpointSettings
	if i.NetworkSettings != nil {
		networks = i.NetworkSettings.Networks
	}
	list = networkDifferences(networks, org)
	m, known := madeOf(labels)
	if own := networks[berth.NetworkName(org)]; known && own != nil && !labelled("", name, labels).Beside {
		for _, alias := range m.Aliases {
			if !slices.Contains(own.Aliases, alias) {
				list = append(list, "is not found by the name "+alias)
			}
		}
	}
	if h := i.HostConfig; known && h != nil {
		if h.RestartPolicy.Name != m.Restart {
			list = append(list, "has the restart policy "+string(h.RestartPolicy.Name)+", not "+string(m.Restart))
		}
		// Where the kernel can't limit processes or swap, the Engine drops these.
		if h.PidsLimit != nil && *h.PidsLimit != m.Pids {
			list = append(list, "has another limit of processes")
		}
		if h.MemorySwap > h.Memory {
			list = append(list, "may swap")
		}
	}
	return list
}

// networkDifferences says how a container's networks differ from its tenant's
// own, and only that.
func networkDifferences(networks map[string]*network.EndpointSettings, org string) (list []string) {
	own := berth.NetworkName(org)
	if networks[own] == nil {
		list = append(list, "is cut off the tenant's network")
	}
	for _, other := range others(networks, own) {
		list = append(list, "is also connected to network "+other)
	}
	return list
}

func others(networks map[string]*network.EndpointSettings, own string) (list []string) {
	for name := range networks {
		if name != own {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// separate disconnects a container from every network but the tenant's.
func (a *application) separate(ctx context.Context, spec instance, now container.InspectResponse) error {
	if now.NetworkSettings == nil {
		return nil
	}
	for _, other := range others(now.NetworkSettings.Networks, a.stack.Network) {
		err := a.do(ctx, step{"disconnect container " + spec.Name + " from network " + other, a.stack.OrganizationID}, a.ChangeTimeout, func(ctx context.Context) error {
			_, err := a.api.NetworkDisconnect(ctx, other, client.NetworkDisconnectOptions{Container: now.ID, Force: true})
			return err
		})
		if err != nil {
			return err
		}
		delete(now.NetworkSettings.Networks, other)
	}
	return nil
}

// misnamed reports whether a container is not found by one of its names inside
// the network.
func misnamed(end *network.EndpointSettings, spec instance) bool {
	return slices.ContainsFunc(aliases(spec), func(alias string) bool { return !slices.Contains(end.Aliases, alias) })
}
