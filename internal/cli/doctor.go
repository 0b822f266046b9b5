package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// finding is one thing that doctor looked at.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
	Advice bool   `json:"advice,omitempty"` // it is about what is to come: nothing is wrong yet
}

// kernelSettings are those that many containers run out of; see
// docs/operations.md.
var kernelSettings = []struct {
	path  string
	least int
	why   string
}{
	{"/proc/sys/net/ipv4/neigh/default/gc_thresh1", 1024, "fewer neighbours than this are never dropped"},
	{"/proc/sys/net/ipv4/neigh/default/gc_thresh2", 2048, "more neighbours than this are dropped within seconds"},
	{"/proc/sys/net/ipv4/neigh/default/gc_thresh3", 4096, "neighbours of all containers share one table"},
	{"/proc/sys/fs/inotify/max_user_instances", 8192, "each container's shim takes one"},
	{"/proc/sys/kernel/pid_max", 131072, "all containers share one range of process ids"},
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{Use: "doctor", Short: "Look at the server, the engine and this host, and say what to mend", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		list := append(a.serverFindings(cmd.Context()), hostFindings()...)
		err := a.print(list, func() [][]string {
			rows := [][]string{{"CHECK", "", "DETAIL"}}
			for _, f := range list {
				mark := "ok"
				switch {
				case f.OK:
				case f.Advice:
					mark, f.Detail = "advice", f.Detail+"; "+f.Hint
				default:
					mark, f.Detail = "MEND", f.Detail+"; "+f.Hint
				}
				rows = append(rows, []string{f.Check, mark, f.Detail})
			}
			return rows
		})
		for _, f := range list {
			if err == nil && !f.OK && !f.Advice {
				err = errors.New("something needs mending")
			}
		}
		return err
	}}
}

func (a *app) serverFindings(ctx context.Context) []finding {
	c, err := a.client()
	if err != nil {
		return []finding{{Check: "token", Detail: err.Error(), Hint: "set BERTH_TOKEN, or give the control plane's --state-dir"}}
	}
	h, err := c.ServerHealth(ctx)
	if err != nil {
		return []finding{{Check: "server", Detail: err.Error(), Hint: "start berth serve, or set BERTH_URL"}}
	}
	list := []finding{{Check: "server", OK: true, Detail: c.URL() + " answers"}}
	if me, err := c.Me(ctx); err != nil {
		list = append(list, finding{Check: "token", Detail: err.Error(), Hint: "use a valid operator's token"})
	} else {
		list = append(list, finding{Check: "token", OK: true, Detail: "accepted, role " + orDash(me.Role)})
	}
	switch {
	case h.EngineReachable == nil:
		list = append(list, finding{Check: "engine", Detail: "not told", Hint: "use a valid operator's token"})
	case !*h.EngineReachable:
		list = append(list, finding{Check: "engine", Detail: "does not answer", Hint: "start the Docker Engine; tenants are left as they are meanwhile"})
	default:
		list = append(list, finding{Check: "engine", OK: true, Detail: "answers, version " + orDash(h.EngineVersion)})
	}
	for _, f := range h.EngineFindings {
		list = append(list, finding{Check: f.Check, OK: f.OK, Detail: f.Detail, Hint: f.Hint})
	}
	if h.EngineRouted != nil && !*h.EngineRouted {
		list = append(list, finding{Check: "routes", OK: true, Detail: "this host can't reach containers: their ports are published on 127.0.0.1"})
	}
	return list
}

func hostFindings() []finding {
	var list []finding
	for _, s := range kernelSettings {
		n, ok, f := kernelSetting(s.path)
		if ok {
			f.OK, f.Detail = n >= s.least, fmt.Sprintf("%d: %s", n, s.why)
		}
		if !f.OK {
			f.Advice, f.Hint = true, fmt.Sprintf("before you have hundreds of tenants: sysctl -w %s=%d", f.Check, s.least)
		}
		list = append(list, f)
	}
	n, ok, f := kernelSetting("/proc/sys/net/ipv4/ip_local_port_range")
	if ok {
		f.OK, f.Detail = n > lastDefaultPort, fmt.Sprintf("from %d: outgoing connections take ports from here", n)
	}
	if !f.OK {
		f.Hint = fmt.Sprintf("sysctl -w %s=\"%d 60999\", or let --ports of serve end below %d", f.Check, lastDefaultPort+1, n)
	}
	return append(list, f)
}

// lastDefaultPort ends the default range of tenants' external ports.
const lastDefaultPort = 32767

// kernelSetting reads the first number of a setting. ok is false if it can't
// be read here: that is no finding against the host.
func kernelSetting(path string) (n int, ok bool, f finding) {
	f = finding{Check: strings.ReplaceAll(strings.TrimPrefix(path, "/proc/sys/"), "/", "."), OK: true, Detail: "can't be read here"}
	data, err := os.ReadFile(path)
	fields := strings.Fields(string(data))
	if err != nil || len(fields) == 0 {
		return 0, false, f
	}
	n, err = strconv.Atoi(fields[0])
	return n, err == nil, f
}
