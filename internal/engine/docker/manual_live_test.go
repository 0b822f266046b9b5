package docker_test

import (
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

func (manual) Rename(t testing.TB, name, to string) {
	t.Helper()
	_, err := shared.api.ContainerRename(t.Context(), name, client.ContainerRenameOptions{NewName: to})
	must(t, err)
}

func (manual) Pause(t testing.TB, name string) {
	t.Helper()
	_, err := shared.api.ContainerPause(t.Context(), name, client.ContainerPauseOptions{})
	must(t, err)
}

func (manual) CutOff(t testing.TB, name string) {
	t.Helper()
	got, err := shared.api.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{})
	must(t, err)
	network := berth.NetworkName(got.Container.Config.Labels[berth.LabelTenantID])
	_, err = shared.api.NetworkDisconnect(t.Context(), network, client.NetworkDisconnectOptions{Container: name})
	must(t, err)
}

func (manual) Join(t testing.TB, name string) {
	t.Helper()
	_, err := shared.api.NetworkConnect(t.Context(), "bridge", client.NetworkConnectOptions{Container: name})
	must(t, err)
}

func (manual) Unlimit(t testing.TB, name string) {
	t.Helper()
	none := int64(-1)
	_, err := shared.api.ContainerUpdate(t.Context(), name, client.ContainerUpdateOptions{
		Resources:     &container.Resources{PidsLimit: &none},
		RestartPolicy: &container.RestartPolicy{Name: container.RestartPolicyDisabled},
	})
	must(t, err)
}
