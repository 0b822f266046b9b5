package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	cmd    *exec.Cmd
}

// engineWithin is how long an Engine may take to start or to end.
const engineWithin = 60 * time.Second

// StartEngine starts one; it needs root and dockerd.
func StartEngine(ctx context.Context) (*SecondEngine, error) {
	dir, err := os.MkdirTemp("", "berth-engine") // short: a socket's path has at most 108 bytes
	if err != nil {
		return nil, err
	}
	e := &SecondEngine{dir: dir, Host: "unix://" + filepath.Join(dir, "sock"), bridge: fmt.Sprintf("berth%d", os.Getpid())}
	if err := e.ip("link", "add", e.bridge, "type", "bridge"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := e.ip("address", "add", secondNetwork, "dev", e.bridge); err != nil {
		return nil, errors.Join(err, e.ip("link", "delete", e.bridge), os.RemoveAll(dir))
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { _ = log.Close() }()
	// An Engine's id is in the file of its key, which is the machine's by default.
	// Without a default bridge it would remove the machine's own.
	config := filepath.Join(dir, "daemon.json")
	key := fmt.Sprintf(`{"deprecated-key-path": %q}`, filepath.Join(dir, "key.json"))
	if err := os.WriteFile(config, []byte(key), 0o600); err != nil {
		return nil, errors.Join(err, e.ip("link", "delete", e.bridge), os.RemoveAll(dir))
	}
	e.cmd = exec.Command("dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"-H", e.Host, "-p", filepath.Join(dir, "pid"), "--config-file", config,
		"--bridge", e.bridge, "--iptables=false", "--ip-masq=false")
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		return nil, errors.Join(err, e.ip("link", "delete", e.bridge), os.RemoveAll(dir))
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
	return errors.Join(e.ip("link", "delete", e.bridge), os.RemoveAll(e.dir))
}

// secondNetwork is the default network of a second Engine, which nothing uses.
const secondNetwork = "10.72.255.1/24"

// ip runs iproute2's command of that name, which comes with the Engine.
func (e *SecondEngine) ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
