package docker

import (
	"context"
	"strings"

	"github.com/unite-hub/berth"
)

// mostLast bounds what is read of a container's last lines, in bytes.
const mostLast = 64 << 10

// LastLines returns what a container of a tenant's wrote last, the latest at the
// end.
func (e *Engine) LastLines(ctx context.Context, organizationID, containerID string, n int) ([]string, error) {
	c, err := e.own(ctx, step{"read last lines", organizationID}, containerID)
	if err != nil {
		return nil, err
	}
	l := &logs{engine: e, tenant: organizationID}
	k := keptLog{id: c.ID, name: nameOf(c)}
	body, err := l.open(ctx, k, berth.LogOptions{Tail: n})
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	var text strings.Builder
	err = l.broken(ctx, k, frames(body, func(_ bool, p []byte) error {
		if text.Len() < mostLast {
			text.Write(p)
		}
		return nil
	}))
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	return lines[max(len(lines)-n, 0):], err
}
