package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a real control plane, run from its binary. Fill in the first
// block, then Start; it can be stopped or killed and started again on the same
// state.
type Process struct {
	Binary   string   // bin/berth, from the module's root
	StateDir string   //
	Ports    string   // FIRST-LAST
	Pool     string   // of subnets
	Args     []string // more flags of serve
	Env      []string // more variables

	URL   string // of the API, once started
	Token string // the operator's

	cmd   *exec.Cmd
	ended chan error
	log   logBuffer
}

// Crowded is how many times as long as on a quiet machine a test waits for what
// must come. No test judges a time: only one that fails waits for all of it.
const Crowded = 5

// readyWithin is how long a control plane may take to start.
const readyWithin = 60 * time.Second * Crowded

// Start runs the binary and returns once it says that it is ready.
func (p *Process) Start(ctx context.Context) error {
	binary := p.Binary
	if !filepath.IsAbs(binary) {
		root, err := ModuleRoot()
		if err != nil {
			return err
		}
		binary = filepath.Join(root, binary)
	}
	listen := p.Args
	if !strings.Contains(strings.Join(p.Args, " "), "--listen") {
		listen = append([]string{"--listen", "127.0.0.1:0"}, p.Args...)
	}
	args := append([]string{"serve", "--state-dir", p.StateDir, "--ports", p.Ports, "--pool", p.Pool, "--observe", "100ms"}, listen...)
	p.cmd = exec.Command(binary, args...) // ctx bounds the start, not the process
	p.cmd.Env = append(os.Environ(), p.Env...)
	p.cmd.Stderr = &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // never outlives the test; a terminal's Ctrl-C is not for it
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		readReady(stdout, ready)
	}()
	p.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan<- error) {
		<-read // Wait closes the pipe
		ended <- cmd.Wait()
	}(p.cmd, p.ended)
	select {
	case p.URL = <-ready:
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("berth serve ended: %w\n%s", err, p.Log())
	case <-time.After(readyWithin):
		return errors.Join(fmt.Errorf("berth serve is not ready after %v\n%s", readyWithin, p.Log()), p.Kill())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.Kill())
	}
	if err := p.own(ctx); err != nil {
		return errors.Join(err, p.Kill())
	}
	token, err := os.ReadFile(filepath.Join(p.StateDir, "operator-token"))
	p.Token = strings.TrimSpace(string(token))
	return err
}

// own writes into the pool's claim which installation makes things in it from now on,
// so that the next process knows them by it if this one is killed. The log's line may
// come after that on standard output.
func (p *Process) own(ctx context.Context) error {
	file, ok := claimOf(p.Pool)
	if !ok {
		return nil // a pool of the caller's own, which nobody sweeps
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		running := p.Running()
		if _, rest, ok := strings.Cut(p.Log(), " installation="); ok {
			if id, _, ok := strings.Cut(rest, " "); ok {
				return own(file, id)
			}
		}
		if !running { // it has made nothing: nobody knows its URL yet
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("berth serve does not log which installation it is: %w\n%s", ctx.Err(), p.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func readReady(stdout io.Reader, ready chan<- string) {
	var seen []byte
	buf := make([]byte, 4096)
	for {
		n, err := stdout.Read(buf)
		seen = append(seen, buf[:n]...)
		for {
			line, rest, ok := bytes.Cut(seen, []byte("\n"))
			if !ok {
				break
			}
			seen = rest
			if url, ok := strings.CutPrefix(string(line), "ready "); ok {
				ready <- strings.TrimSpace(url)
			}
		}
		if err != nil {
			return
		}
	}
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Wait returns when the process has ended, with its error.
func (p *Process) Wait() error {
	err := <-p.ended
	p.ended <- err
	return err
}

// Running reports whether the process has been started and has not ended.
func (p *Process) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case err := <-p.ended:
		p.ended <- err
		return false
	default:
		return true
	}
}

// Stop sends SIGTERM and returns the process's error, nil for exit code 0.
func (p *Process) Stop() error { return p.signal(syscall.SIGTERM) }

// Kill ends the process at once.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil && !strings.Contains(err.Error(), "killed") {
		return err
	}
	return nil
}

func (p *Process) signal(s syscall.Signal) error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(s); errors.Is(err, os.ErrProcessDone) {
		return nil
	} else if err != nil {
		return err
	}
	return p.Wait()
}

// Command is the same binary as a client of this control plane.
func (p *Process) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.cmd.Path, args...)
	cmd.Env = append(os.Environ(), "BERTH_URL="+p.URL, "BERTH_TOKEN="+p.Token)
	return cmd
}

// Log is what the process wrote to stderr.
func (p *Process) Log() string { return p.log.String() }

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(data)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
