package enginetest

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/unite-hub/berth"
)

// hint tells the watchers that something happened to whom an object belongs
// to. The lock is held.
func (f *Fake) hint(o fakeObject) { f.hintOf(o, berth.Hint{}) }

// hintEnd tells that a container ended. The lock is held.
func (f *Fake) hintEnd(c *fakeContainer, code int) {
	c.last = code
	f.hintOf(c.fakeObject, berth.Hint{Service: c.service.Name, InstanceID: c.id, Ended: true, ExitCode: code})
}

func (f *Fake) hintOf(o fakeObject, h berth.Hint) {
	org := o.labels[berth.LabelTenantID]
	if org == "" {
		rest, _ := strings.CutPrefix(o.name, berth.ContainerName(""))
		org, _, _ = strings.Cut(rest, "_")
	}
	h.OrganizationID = org
	for w := range f.watchers {
		select {
		case w <- h:
		default: // a slow watcher loses hints
		}
	}
}

// LastLines returns the one line that each program of the fake's writes at its
// end.
func (f *Fake) LastLines(ctx context.Context, organizationID, containerID string, _ int) (lines []string, err error) {
	err = f.step(ctx, Step{Op: "last lines", Tenant: organizationID, Read: true}, func() error {
		if c := f.containers[containerID]; c != nil {
			lines = []string{"exit code " + strconv.Itoa(c.last)}
		}
		return nil
	})
	return lines, err
}

// Watch passes hints on, one of Any first, until ctx ends or the engine goes down.
func (f *Fake) Watch(ctx context.Context, hint func(berth.Hint)) error {
	hints := make(chan berth.Hint, 64)
	s := Step{Op: "watch", Read: true}
	if err := f.step(ctx, s, func() error {
		f.watchers[hints] = struct{}{}
		return nil
	}); err != nil {
		return err
	}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, hints)
	}()
	hint(berth.Hint{Opened: true})
	for {
		select {
		case h, ok := <-hints:
			if !ok {
				return asError(fmt.Errorf("the stream ended"), s)
			}
			hint(h)
		case <-ctx.Done():
			return asError(ctx.Err(), s)
		}
	}
}
