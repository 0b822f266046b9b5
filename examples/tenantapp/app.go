package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// app is what the tenant answers with. Its behaviour can be changed while it
// runs.
type app struct {
	identity identity
	env      map[string]string
	data     string // directory

	mu      sync.Mutex
	conduct conduct
	ballast [][]byte // memory it was told to hold
}

type identity struct {
	TenantID   string   `json:"tenantId"`
	TenantName string   `json:"tenantName"`
	TenantSlug string   `json:"tenantSlug"`
	Version    string   `json:"version"`
	Hostname   string   `json:"hostname"`
	Variables  []string `json:"variables"` // names only
}

// conduct is the body of POST /api/behave.
type conduct struct {
	HealthDelayMs int  `json:"healthDelayMs"`
	HealthStatus  int  `json:"healthStatus"`
	MemoryMB      int  `json:"memoryMb"`
	LogBytes      int  `json:"logBytes"`
	Processes     int  `json:"processes"` // threads: a limit of processes counts them alike
	CPUMs         int  `json:"cpuMs"`     // processor time to burn before the answer
	Crash         bool `json:"crash"`
	ExitCode      int  `json:"exitCode"`
}

func newApp(version string, environ []string) http.Handler {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	names := make([]string, 0, len(env))
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	host, _ := os.Hostname()
	a := &app{
		env: env, data: env["DATA_DIR"],
		identity: identity{env["TENANT_ID"], env["TENANT_NAME"], env["TENANT_SLUG"], version, host, names},
	}
	if a.data == "" {
		a.data = "/app/public/uploads"
	}
	if env["SICK"] != "" {
		a.conduct.HealthStatus = http.StatusInternalServerError
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /api/health", a.health)
	mux.HandleFunc("GET /api/env", a.showEnv)
	mux.HandleFunc("GET /api/data/{key}", a.read)
	mux.HandleFunc("PUT /api/data/{key}", a.write)
	mux.HandleFunc("POST /api/echo", a.echo)
	mux.HandleFunc("GET /api/stream", a.stream)
	mux.HandleFunc("GET /api/ws", a.websocket)
	mux.HandleFunc("POST /api/behave", a.behave)
	return mux
}

var page = template.Must(template.New("home").Parse(`<!doctype html>
<meta charset="utf-8"><title>{{.TenantName}}</title>
<h1>{{.TenantName}}</h1>
<p>tenant {{.TenantID}}, version {{.Version}}, container {{.Hostname}}</p>
`))

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, a.identity); err != nil {
			log.Print(err)
		}
		return
	}
	answer(w, http.StatusOK, a.identity)
}

func (a *app) health(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	c := a.conduct
	a.mu.Unlock()
	select {
	case <-time.After(time.Duration(c.HealthDelayMs) * time.Millisecond):
	case <-r.Context().Done():
		return
	}
	status, word := http.StatusOK, "ok"
	if c.HealthStatus != 0 {
		status, word = c.HealthStatus, "as told"
	}
	answer(w, status, map[string]string{
		"status": word, "tenantId": a.identity.TenantID, "tenantName": a.identity.TenantName, "version": a.identity.Version,
	})
}

// showEnv shows one value byte for byte, as base64.
func (a *app) showEnv(w http.ResponseWriter, r *http.Request) {
	value, ok := a.env[r.FormValue("name")]
	if a.env["TENANTAPP_TEST"] == "" || !ok {
		http.NotFound(w, r)
		return
	}
	answer(w, http.StatusOK, map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte(value))})
}

var keyPattern = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func (a *app) read(w http.ResponseWriter, r *http.Request) {
	a.file(w, r, func(root *os.Root, key string) error {
		data, err := root.ReadFile(key)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	})
}

func (a *app) write(w http.ResponseWriter, r *http.Request) {
	a.file(w, r, func(root *os.Root, key string) error {
		f, err := root.Create(key)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, io.LimitReader(r.Body, 1<<20))
		if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
		return err
	})
}

func (a *app) file(w http.ResponseWriter, r *http.Request, use func(root *os.Root, key string) error) {
	key := r.PathValue("key")
	if !keyPattern.MatchString(key) {
		http.Error(w, "a key has 1-64 of a-z, 0-9 and -", http.StatusBadRequest)
		return
	}
	root, err := os.OpenRoot(a.data)
	if err == nil {
		defer func() { _ = root.Close() }()
		err = use(root, key)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// echo answers with the request's headers and the size of its body.
func (a *app) echo(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, http.StatusOK, map[string]any{"bytes": n, "headers": r.Header, "host": r.Host, "remote": r.RemoteAddr})
}

// stream sends n server-sent events, ms milliseconds apart.
func (a *app) stream(w http.ResponseWriter, r *http.Request) {
	n, ms := number(r, "n", 3), number(r, "ms", 100)
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range n {
		if _, err := io.WriteString(w, "data: "+strconv.Itoa(i)+"\n\n"); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
}

func number(r *http.Request, name string, def int) int {
	if n, err := strconv.Atoi(r.FormValue(name)); err == nil && n >= 0 && n <= 100_000 {
		return n
	}
	return def
}

func (a *app) behave(w http.ResponseWriter, r *http.Request) {
	var c conduct
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if c.Crash {
		log.Printf("crashing with code %d, as told", c.ExitCode)
		os.Exit(c.ExitCode)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conduct = c
	a.ballast = nil
	for range c.MemoryMB {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1 // a page that is not written to costs nothing
		}
		a.ballast = append(a.ballast, block)
	}
	for left := c.LogBytes; left > 0; left -= logLine {
		log.Print(strings.Repeat("x", min(left, logLine)))
	}
	for range c.Processes {
		go func() {
			runtime.LockOSThread()
			select {}
		}()
	}
	burn(time.Duration(c.CPUMs) * time.Millisecond)
	w.WriteHeader(http.StatusNoContent)
}

const logLine = 1000 // bytes, about

// burn uses up processor time, however long that takes.
func burn(d time.Duration) {
	block := make([]byte, 1<<20)
	for until := used() + d; used() < until; {
		_ = sha256.Sum256(block)
	}
}

func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}
