package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a PostgreSQL server of its own on 127.0.0.1, in a folder that
// goes with it. Its superuser is postgres, and nobody needs a password.
type Postgres struct {
	Port string

	binaries string // folder
	dir      string
	settings []string
	owner    *syscall.Credential // nil to run as who we are
	cmd      *exec.Cmd
	ended    chan struct{} // closed when the server has ended
}

const (
	postgresReady = 60 * time.Second
	postgresEnds  = 60 * time.Second
	postgresLook  = 20 * time.Millisecond
)

// postgresSettings are for tests on a small machine. What is committed does
// not survive a power cut, but does survive Kill.
var postgresSettings = []string{
	"listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=120",
	"max_wal_size=512MB", "autovacuum_naptime=10s", "log_min_messages=warning", "logging_collector=off",
}

// StartPostgres makes a cluster and starts it. More settings, such as
// "fsync=on", go over its own. Stop must be called.
func StartPostgres(ctx context.Context, settings ...string) (*Postgres, error) {
	binaries, err := postgresBinaries("/usr/lib/postgresql")
	if err != nil {
		return nil, err
	}
	p := &Postgres{binaries: binaries, settings: settings}
	if p.dir, err = os.MkdirTemp("", "berth-postgres-"); err != nil {
		return nil, err
	}
	if err := p.init(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	return p, nil
}

// postgresBinaries returns the folder of the newest version below root.
func postgresBinaries(root string) (string, error) {
	found, err := filepath.Glob(filepath.Join(root, "*", "bin", "postgres"))
	if err != nil {
		return "", err
	}
	newest, folder := 0, ""
	for _, path := range found {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err == nil && version > newest {
			newest, folder = version, filepath.Dir(path)
		}
	}
	if newest < 15 {
		return "", fmt.Errorf("no PostgreSQL 15 or later below %s: run scripts/postgres.sh", root)
	}
	return folder, nil
}

// init makes the cluster. PostgreSQL refuses to run as root, so that there it
// belongs to the user of Debian's package.
func (p *Postgres) init(ctx context.Context) error {
	if os.Getuid() == 0 {
		account, err := user.Lookup("postgres")
		if err != nil {
			return fmt.Errorf("%w: run scripts/postgres.sh", err)
		}
		uid, err := strconv.Atoi(account.Uid)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(account.Gid)
		if err != nil {
			return err
		}
		p.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, uid, gid); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.binaries, "initdb"), "--pgdata", p.data(), "--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// Start runs the server on its data, on the port that it had, and returns once
// it answers.
func (p *Postgres) Start(ctx context.Context) error {
	if p.Port != "" {
		return p.run(ctx)
	}
	var err error
	for range 3 { // a port that was free a moment ago may be someone else's now
		var port int
		if port, err = FreePort(); err != nil {
			return err
		}
		p.Port = strconv.Itoa(port)
		if err = p.run(ctx); err == nil {
			return nil
		}
	}
	return err
}

func (p *Postgres) run(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own
	args := []string{"-D", p.data(), "-p", p.Port, "-k", p.dir}
	for _, s := range append(postgresSettings[:len(postgresSettings):len(postgresSettings)], p.settings...) {
		args = append(args, "-c", s)
	}
	cmd := exec.Command(filepath.Join(p.binaries, "postgres"), args...) // ctx bounds the start, not the server
	cmd.Dir = p.dir
	cmd.Stdout, cmd.Stderr = log, log
	// A test that is killed takes its server along, at once and with all its
	// processes. A group of its own: a terminal's Ctrl-C is not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is in its log
	}()
	if err := p.await(ctx); err != nil {
		return errors.Join(fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, p.Log()), p.Kill())
	}
	return nil
}

// await returns once the server answers.
func (p *Postgres) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, postgresReady)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, p.URL("postgres"))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-p.ended:
			return errors.New("it has ended")
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(postgresLook):
		}
	}
}

// URL is where a database is, for the superuser.
func (p *Postgres) URL(database string) string { return p.URLAs("postgres", database) }

// URLAs is where a database is, for a role that may log in.
func (p *Postgres) URLAs(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Host: "127.0.0.1:" + p.Port, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// CreateDatabase makes a database, as a copy of template unless that is "".
func (p *Postgres) CreateDatabase(ctx context.Context, name, template string) error {
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if template != "" {
		statement += " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	}
	return p.Exec(ctx, "postgres", statement)
}

// DropDatabase drops a database, whoever uses it.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	return p.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

// Exec runs statements in a database, as the superuser.
func (p *Postgres) Exec(ctx context.Context, database, statements string) error {
	c, err := pgx.Connect(ctx, p.URL(database))
	if err != nil {
		return err
	}
	_, err = c.PgConn().Exec(ctx, statements).ReadAll()
	return errors.Join(err, c.Close(ctx))
}

// Log is what the server wrote.
func (p *Postgres) Log() string {
	text, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Running reports whether the server has been started and has not ended.
func (p *Postgres) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Pause stops every process of the server where it is: connections stay open
// and nothing answers.
func (p *Postgres) Pause() error { return p.each(syscall.SIGSTOP) }

// Resume lets the processes go on.
func (p *Postgres) Resume() error { return p.each(syscall.SIGCONT) }

// Kill ends every process of the server at once. Start runs it again on the
// data that is there then.
func (p *Postgres) Kill() error {
	if !p.Running() {
		return nil
	}
	if err := p.each(syscall.SIGSTOP); err != nil { // so that nothing forks in between
		return err
	}
	processes := p.processes()
	if err := signalAll(processes, syscall.SIGKILL); err != nil {
		return err
	}
	return p.gone(processes)
}

// Stop ends the server in good order and removes its folder.
func (p *Postgres) Stop() error {
	if p.Running() {
		processes := p.processes()
		if err := errors.Join(p.Resume(), p.cmd.Process.Signal(syscall.SIGINT), p.gone(processes)); err != nil {
			return errors.Join(err, p.Kill())
		}
	}
	return os.RemoveAll(p.dir)
}

// gone returns once the processes have ended.
func (p *Postgres) gone(processes []int) error {
	deadline := time.After(postgresEnds)
	look := time.NewTicker(postgresLook)
	defer look.Stop()
	ended := p.ended
	for {
		select {
		case <-ended:
			ended = nil
		case <-look.C:
		case <-deadline:
			return fmt.Errorf("PostgreSQL does not end\n%s", p.Log())
		}
		if !p.Running() && !anyAlive(processes) {
			return nil
		}
	}
}

// each signals every process of the server; again, if there are more by then.
func (p *Postgres) each(s syscall.Signal) error {
	if !p.Running() {
		return errors.New("PostgreSQL does not run")
	}
	known := 0
	for {
		processes := p.processes()
		if len(processes) == known {
			return nil
		}
		if err := signalAll(processes, s); err != nil {
			return err
		}
		known = len(processes)
	}
}

// processes are the server's, the first one at the front; the others are its
// children.
func (p *Postgres) processes() []int {
	first := p.cmd.Process.Pid
	list := []int{first}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return list
	}
	for _, path := range stats {
		if pid, parent, ok := parentOf(path); ok && parent == first {
			list = append(list, pid)
		}
	}
	return list
}

// parentOf reads /proc/PID/stat; ok is false if the process has ended.
func parentOf(path string) (pid, parent int, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, false
	}
	// The name, in brackets, may hold anything.
	rest := string(text)[strings.LastIndexByte(string(text), ')')+1:]
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[0] == "Z" {
		return 0, 0, false
	}
	pid, err = strconv.Atoi(filepath.Base(filepath.Dir(path)))
	if err != nil {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return pid, parent, err == nil
}

func anyAlive(processes []int) bool {
	for _, pid := range processes {
		if _, _, ok := parentOf(fmt.Sprintf("/proc/%d/stat", pid)); ok {
			return true
		}
	}
	return false
}

func signalAll(processes []int, s syscall.Signal) error {
	for _, pid := range processes {
		if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}
