package docker_test

import (
	"net"
	"testing"

	"github.com/unite-hub/berth/internal/engine/docker"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/reconcile"
)

var (
	_ reconcile.Engine           = (*docker.Engine)(nil)
	_ reconcile.InstanceObserver = (*docker.Engine)(nil)
)

func TestAnEngineWhoseContainersTheHostReachesPassesTheSuite(t *testing.T) {
	suite(t, options(), true)
}

func TestAnEngineWhoseContainersTheHostDoesNotReachPassesTheSuite(t *testing.T) {
	o := options()
	o.InterfaceAddrs = func() ([]net.Addr, error) { return nil, nil }
	suite(t, o, false)
}

func suite(t *testing.T, o docker.Options, routed bool) {
	t.Parallel()
	stranger := o
	stranger.Installation, stranger.SealKey = shared.id+"-stranger", []byte("another key, of another Berth")
	e := open(t, o)
	info, err := e.Info(t.Context())
	if err != nil || info.Routed != routed || info.ID == "" || info.Cores == 0 || info.Name != "docker" {
		t.Fatalf("info %+v, %v", info, err)
	}
	h := enginetest.Harness{Engine: e, Stranger: open(t, stranger), Manual: newManual(t), Images: shared.images, Subnet: subnet}
	if routed { // the calls are the same without
		h.Own = func(t *testing.T) (enginetest.Harness, enginetest.Cut) {
			p, own := newProxy(t), h
			o := o
			o.Host = p.host
			own.Engine = open(t, o)
			return own, p.cut
		}
	}
	enginetest.Run(t, h)
}
