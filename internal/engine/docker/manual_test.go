package docker_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// manual reaches behind Berth with the plain client.
type manual struct{ http *http.Client }

func newManual(t *testing.T) manual {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return manual{&http.Client{Transport: transport, Timeout: 5 * time.Second}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (manual) Kill(t testing.TB, containerID string) {
	_, err := shared.api.ContainerKill(t.Context(), containerID, client.ContainerKillOptions{})
	must(t, err)
}

func (h manual) Remove(t testing.TB, kind, name string) {
	t.Helper()
	must(t, remove(t.Context(), kind, name))
}

func remove(ctx context.Context, kind, name string) error {
	switch kind {
	case "container":
		_, err := shared.api.ContainerRemove(ctx, name, client.ContainerRemoveOptions{Force: true})
		return err
	case "volume":
		_, err := shared.api.VolumeRemove(ctx, name, client.VolumeRemoveOptions{Force: true})
		return err
	}
	got, err := shared.api.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if err != nil {
		return err
	}
	for id := range got.Network.Containers {
		if _, err := shared.api.NetworkDisconnect(ctx, name, client.NetworkDisconnectOptions{Container: id, Force: true}); err != nil {
			return err
		}
	}
	_, err = shared.api.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
	return err
}

func (manual) Add(t testing.TB, kind, name string, labels map[string]string) {
	t.Helper()
	var err error
	switch kind {
	case "container":
		_, err = shared.api.ContainerCreate(t.Context(), client.ContainerCreateOptions{
			Name: name, Config: &container.Config{Image: shared.images.App, Labels: labels},
		})
	case "network":
		_, err = shared.api.NetworkCreate(t.Context(), name, client.NetworkCreateOptions{
			Driver: "bridge", Labels: labels, IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet()}}},
		})
	case "volume":
		_, err = shared.api.VolumeCreate(t.Context(), client.VolumeCreateOptions{Name: name, Labels: labels})
	}
	must(t, err)
}

func (manual) Labels(t testing.TB, kind, name string) (labels map[string]string, ok bool) {
	t.Helper()
	var err error
	switch kind {
	case "container":
		var got client.ContainerInspectResult
		if got, err = shared.api.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{}); err == nil {
			labels = got.Container.Config.Labels
		}
	case "network":
		var got client.NetworkInspectResult
		got, err = shared.api.NetworkInspect(t.Context(), name, client.NetworkInspectOptions{})
		labels = got.Network.Labels
	case "volume":
		var got client.VolumeInspectResult
		got, err = shared.api.VolumeInspect(t.Context(), name, client.VolumeInspectOptions{})
		labels = got.Volume.Labels
	}
	if errdefs.IsNotFound(err) {
		return nil, false
	}
	must(t, err)
	return maps.Clone(labels), true
}

func (h manual) Get(t testing.TB, addr netip.AddrPort, path string) (string, bool) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr.String()+path, nil)
	must(t, err)
	resp, err := h.http.Do(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(body), err == nil && resp.StatusCode == http.StatusOK
}

// RemoveAll works on what is left after a failure too, so it reports and goes on.
func (manual) RemoveAll(t testing.TB, org string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, f := range []client.Filters{
		client.Filters{}.Add("name", org), client.Filters{}.Add("label", berth.LabelTenantID+"="+org),
	} {
		containers, err := shared.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: f})
		report(t, err)
		for _, c := range containers.Items {
			report(t, remove(ctx, "container", c.ID))
		}
		networks, err := shared.api.NetworkList(ctx, client.NetworkListOptions{Filters: f})
		report(t, err)
		for _, n := range networks.Items {
			report(t, remove(ctx, "network", n.ID))
		}
		volumes, err := shared.api.VolumeList(ctx, client.VolumeListOptions{Filters: f})
		report(t, err)
		for _, v := range volumes.Items {
			report(t, remove(ctx, "volume", v.Name))
		}
	}
}

func report(t testing.TB, err error) {
	t.Helper()
	if err != nil && !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}
