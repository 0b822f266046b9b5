package storm_test

import (
	"math/rand/v2"
	"time"

	"github.com/moby/moby/api/types/container"
	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

// kills ends the control plane again and again, and starts it anew.
func (s *site) kills(r *rand.Rand, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Duration(2000+r.IntN(10000)) * time.Millisecond):
		}
		s.mu.Lock()
		err := s.process.Kill()
		if err == nil {
			err = s.start()
		}
		s.mu.Unlock()
		s.note("kill -9 of the control plane", "the control plane was killed and started: %v", err)
		if err != nil {
			s.Error(err)
			return
		}
	}
}

// weather does to a tenant's containers what people do.
func (s *site) weather(tn *tenant, r *rand.Rand, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Duration(500+r.IntN(5000)) * time.Millisecond):
		}
		list := s.Containers(tn.org)
		if len(list) == 0 {
			continue
		}
		c := list[r.IntN(len(list))]
		what, err := s.strike(tn, c, r)
		kind := what
		if err != nil {
			kind += ", in vain"
		}
		s.note(kind, "%s: %s %v (%s): %v", tn.name, what, c.Names, c.State, err)
	}
}

// strike does one thing to one container. That the container has gone meanwhile
// is no failure of anything.
func (s *site) strike(tn *tenant, c container.Summary, r *rand.Rand) (what string, err error) {
	switch n := r.IntN(12); {
	case n < 3:
		_, err = s.Engine.ContainerKill(s.Ctx, c.ID, dockerclient.ContainerKillOptions{Signal: "KILL"})
		return "kill", err
	case n < 5:
		_, err = s.Engine.ContainerRemove(s.Ctx, c.ID, dockerclient.ContainerRemoveOptions{Force: true})
		return "remove", err
	case n < 6:
		_, err = s.Engine.ContainerPause(s.Ctx, c.ID, dockerclient.ContainerPauseOptions{})
		return "pause", err
	case n < 7:
		// Whoever renames one puts things right again: what has another's name is
		// not Berth's to remove, and the name may be taken by then.
		if _, err = s.Engine.ContainerRename(s.Ctx, c.ID, dockerclient.ContainerRenameOptions{NewName: "storm-" + c.ID[:12]}); err != nil {
			return "rename", err
		}
		<-time.After(time.Duration(r.IntN(4000)) * time.Millisecond)
		if _, err = s.Engine.ContainerRename(s.Ctx, c.ID, dockerclient.ContainerRenameOptions{NewName: c.Names[0][1:]}); err != nil {
			_, err = s.Engine.ContainerRemove(s.Ctx, c.ID, dockerclient.ContainerRemoveOptions{Force: true})
			return "rename for good and remove", err
		}
		return "rename and name again", nil
	case n < 9:
		_, err = s.Engine.NetworkDisconnect(s.Ctx, berth.NetworkName(tn.org), dockerclient.NetworkDisconnectOptions{Container: c.ID, Force: true})
		return "cut off", err
	case n < 11:
		for _, image := range s.images { // as far as nothing uses it
			err = testbed.RemoveImage(s.Ctx, image)
		}
		return "take the images away", err
	default:
		_, err = s.Engine.ContainerStop(s.Ctx, c.ID, dockerclient.ContainerStopOptions{})
		return "stop", err
	}
}
