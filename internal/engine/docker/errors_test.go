package docker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/unite-hub/berth"
)

// What an Engine answers with 500 needs an operator, but for a port that it chose
// itself: the next start has another one. Words of Engines 20.10 and 30, the last two
// rootless.
func TestAPortThatTheEngineChoseBadlyIsTriedAgain(t *testing.T) {
	e := &Engine{}
	for said, want := range map[string]berth.Code{
		"driver failed programming external connectivity on endpoint tenant_x (1f): Error starting userland proxy: listen tcp4 127.0.0.1:49153: bind: address already in use":                    berth.CodePortTaken,
		"driver failed programming external connectivity on endpoint tenant_x (1f): Bind for 127.0.0.1:49153 failed: port is already allocated":                                                  berth.CodePortTaken,
		"failed to set up container networking: driver failed programming external connectivity on endpoint tenant_x (1f): failed to bind host port 127.0.0.1:32768/tcp: address already in use": berth.CodePortTaken,
		"error while calling RootlessKit PortManager.AddPort(): listen tcp4 127.0.0.1:32768: bind: address already in use":                                                                       berth.CodePortTaken,
		"OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"/nothing\": no such file or directory: unknown":                                           berth.CodeEngineRefused,
	} {
		err := e.explain(t.Context(), context.Background(), time.Second, errdefs.ErrInternal.WithMessage("Error response from daemon: "+said))
		if err.Code != want || err.Hint == "" || !errors.Is(err, errdefs.ErrInternal) {
			t.Errorf("%s: taken as %s, hint %q", said, err.Code, err.Hint)
		}
	}
}
