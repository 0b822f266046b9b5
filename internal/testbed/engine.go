package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

// SecondEngine is a Docker Engine beside the machine's own, with an id, images
// and volumes of its own. It writes no firewall rules.
type SecondEngine struct {
	Host string // for DOCKER_HOST

	dir    string
	bridge string
	pool   *Pool // of its default network, which nothing uses
	cmd    *exec.Cmd
}

// engineWithin is how long an Engine may take to start or to end.
const engineWithin = 60 * time.Second

// StartEngine starts one; it needs root and dockerd.
func StartEngine(ctx context.Context) (*SecondEngine, error) {
	if err := dropBridges(); err != nil {
		return nil, err
	}
	pool, err := ClaimPool(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "berth-engine") // short: a socket's path has at most 108 bytes
	if err != nil {
		return nil, errors.Join(err, pool.Release())
	}
	e := &SecondEngine{dir: dir, pool: pool, Host: "unix://" + filepath.Join(dir, "sock"), bridge: fmt.Sprint(bridgePrefix, os.Getpid())}
	if err := ip("link", "add", e.bridge, "type", "bridge"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir), pool.Release())
	}
	gateway := netip.PrefixFrom(pool.Addr().Next(), 24).String()
	if err := ip("address", "add", gateway, "dev", e.bridge); err != nil {
		return nil, errors.Join(err, e.clear())
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, errors.Join(err, e.clear())
	}
	defer func() { _ = log.Close() }()
	// An Engine's id is in the file of its key, which is the machine's by default.
	// Without a default bridge it would remove the machine's own.
	config := filepath.Join(dir, "daemon.json")
	key := fmt.Sprintf(`{"deprecated-key-path": %q}`, filepath.Join(dir, "key.json"))
	if err := os.WriteFile(config, []byte(key), 0o600); err != nil {
		return nil, errors.Join(err, e.clear())
	}
	e.cmd = exec.Command("dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"-H", e.Host, "-p", filepath.Join(dir, "pid"), "--config-file", config,
		"--bridge", e.bridge, "--iptables=false", "--ip-masq=false")
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		return nil, errors.Join(err, e.clear())
	}
	if err := e.answers(ctx); err != nil {
		text, _ := os.ReadFile(log.Name())
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, text), e.Stop())
	}
	return e, nil
}

func (e *SecondEngine) answers(ctx context.Context) error {
	api, err := client.New(client.WithHost(e.Host))
	if err != nil {
		return err
	}
	defer func() { _ = api.Close() }()
	ctx, cancel := context.WithTimeout(ctx, engineWithin)
	defer cancel()
	for {
		if _, err = api.Ping(ctx, client.PingOptions{}); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the second Engine does not answer: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop ends it and removes all that it held.
func (e *SecondEngine) Stop() error {
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.AfterFunc(engineWithin, func() { _ = e.cmd.Process.Kill() })
	defer timer.Stop()
	_ = e.cmd.Wait() // how it ended is of no interest
	return e.clear()
}

func (e *SecondEngine) clear() error {
	return errors.Join(ip("link", "delete", e.bridge), os.RemoveAll(e.dir), e.pool.Release())
}

// bridgePrefix is what the bridge of a second Engine is called, before the number
// of the process that made it.
const bridgePrefix = "berth"

// dropBridges removes the bridges of processes that were killed.
func dropBridges() error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		pid, err := strconv.Atoi(strings.TrimPrefix(i.Name, bridgePrefix))
		if err != nil || !strings.HasPrefix(i.Name, bridgePrefix) || alive(pid) {
			continue
		}
		if err := ip("link", "delete", i.Name); err != nil {
			return err
		}
	}
	return nil
}

// alive reports whether there is a process of that number.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// ip runs iproute2's command of that name, which comes with the Engine.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
