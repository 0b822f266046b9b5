package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
	"unicode/utf8"
)

// records is what the web keeps in the tenant's database.
type records interface {
	Ready(ctx context.Context) error
	AddNote(ctx context.Context, body string) (id int64, err error)
	Notes(ctx context.Context, limit int) (noteList, error)
	AddJobs(ctx context.Context, n, millis int) error
	Jobs(ctx context.Context) (jobCounts, error)
	Stats(ctx context.Context) (stats, error)
}

// Limits on what a request may ask for.
const (
	longestNote  = 64 << 10 // bytes
	notesShown   = 100
	mostJobs     = 10_000
	longestJob   = 30_000 // milliseconds
	drainTimeout = 5 * time.Second
	readyTimeout = 3 * time.Second
)

// serveWeb answers requests until ctx ends, then drains.
func serveWeb(ctx context.Context, c config, logger *slog.Logger) error {
	d, err := openDatabase(ctx, c, "web")
	if err != nil {
		return err
	}
	defer d.close()
	files, err := os.OpenRoot(c.FilesDir)
	if err != nil {
		return fmt.Errorf("open the files' volume: %w", err)
	}
	defer func() { _ = files.Close() }()
	server := &http.Server{
		Handler:           newWeb(c, d, files, logger),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+strconv.Itoa(c.Port))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	logger.Info("web listens", "port", c.Port)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err = server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}

// web is the product as a browser sees it.
type web struct {
	cfg     config
	records records
	files   *os.Root
	log     *slog.Logger
}

func newWeb(c config, r records, files *os.Root, logger *slog.Logger) http.Handler {
	w := web{cfg: c, records: r, files: files, log: logger}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.page)
	mux.HandleFunc("GET /whoami", w.whoami)
	mux.HandleFunc("GET /api/health", w.health)
	mux.HandleFunc("POST /notes", w.addNote)
	mux.HandleFunc("GET /notes", w.notes)
	mux.HandleFunc("POST /jobs", w.addJobs)
	mux.HandleFunc("GET /jobs", w.jobs)
	mux.HandleFunc("GET /stats", w.stats)
	mux.HandleFunc("POST /files/{name}", w.putFile)
	mux.HandleFunc("GET /files/{name}", w.getFile)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(rw, r)
	})
}

func (w web) whoami(rw http.ResponseWriter, _ *http.Request) {
	answer(rw, http.StatusOK, map[string]string{
		"tenantId": w.cfg.TenantID, "tenantName": w.cfg.TenantName, "version": version, "service": "web",
	})
}

// health says whether this tenant can be served, and if not, for want of what.
func (w web) health(rw http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	err := w.records.Ready(ctx)
	if err == nil {
		answer(rw, http.StatusOK, map[string]string{"status": "healthy", "version": version})
		return
	}
	failing := "database"
	if u, ok := errors.AsType[unwell](err); ok {
		failing = u.what
	}
	w.log.Warn("unwell", "error", err)
	answer(rw, http.StatusServiceUnavailable, map[string]string{"status": "unhealthy", "version": version, "failing": failing})
}

func (w web) addNote(rw http.ResponseWriter, r *http.Request) {
	body, ok := readBody(rw, r, longestNote)
	if !ok {
		return
	}
	// PostgreSQL keeps no other text.
	if len(body) == 0 || !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0 {
		refuse(rw, http.StatusUnprocessableEntity, "a note is text in UTF-8, not empty and without zero bytes")
		return
	}
	ctx, cancel := bounded(r)
	defer cancel()
	id, err := w.records.AddNote(ctx, string(body))
	if err != nil {
		w.unavailable(rw, r, err)
		return
	}
	answer(rw, http.StatusCreated, map[string]int64{"id": id})
}

func (w web) notes(rw http.ResponseWriter, r *http.Request) {
	show(w, rw, r, func(ctx context.Context) (noteList, error) { return w.records.Notes(ctx, notesShown) })
}

func (w web) jobs(rw http.ResponseWriter, r *http.Request)  { show(w, rw, r, w.records.Jobs) }
func (w web) stats(rw http.ResponseWriter, r *http.Request) { show(w, rw, r, w.records.Stats) }

func (w web) addJobs(rw http.ResponseWriter, r *http.Request) {
	body, ok := readBody(rw, r, 4<<10)
	if !ok {
		return
	}
	var asked struct {
		N      int `json:"n"`
		Millis int `json:"millis"` // how long each takes
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		refuse(rw, http.StatusBadRequest, `expected {"n": NUMBER, "millis": NUMBER}`)
		return
	}
	if asked.N < 1 || asked.N > mostJobs || asked.Millis < 0 || asked.Millis > longestJob {
		refuse(rw, http.StatusUnprocessableEntity,
			fmt.Sprintf("n is 1 to %d, millis 0 to %d", mostJobs, longestJob))
		return
	}
	ctx, cancel := bounded(r)
	defer cancel()
	if err := w.records.AddJobs(ctx, asked.N, asked.Millis); err != nil {
		w.unavailable(rw, r, err)
		return
	}
	answer(rw, http.StatusCreated, map[string]int{"added": asked.N})
}

// show answers with what a question to the database gives.
func show[T any](w web, rw http.ResponseWriter, r *http.Request, ask func(context.Context) (T, error)) {
	ctx, cancel := bounded(r)
	defer cancel()
	v, err := ask(ctx)
	if err != nil {
		w.unavailable(rw, r, err)
		return
	}
	answer(rw, http.StatusOK, v)
}

// unavailable logs the cause and keeps it from the client.
func (w web) unavailable(rw http.ResponseWriter, r *http.Request, err error) {
	w.log.Warn("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	rw.Header().Set("Retry-After", "1")
	refuse(rw, http.StatusServiceUnavailable, "the database did not answer; try again")
}

// bounded ends a request's questions in time for an answer to be written.
func bounded(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), queryTimeout)
}

// readBody answers the request itself if the body is too long or breaks off.
func readBody(rw http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, limit))
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		refuse(rw, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", limit))
		return nil, false
	}
	if err != nil {
		refuse(rw, http.StatusBadRequest, "the body could not be read")
		return nil, false
	}
	return body, true
}

func answer(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v) // the client may be gone
}

func refuse(rw http.ResponseWriter, status int, message string) {
	answer(rw, status, map[string]string{"error": message})
}
