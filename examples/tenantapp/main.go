// Tenantapp is a small tenant: it says who it is, keeps a little data, and can
// be told to be slow, sick, hungry or to crash. Berth's demo, tests and
// benchmarks run it; nothing else should.
//
// It is one static binary that runs from an empty image with a read-only root.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// version is set by the linker.
var version = "dev"

// Variables that say how the app behaves from its start:
//
//	START_DELAY_MS  milliseconds to wait before it listens, or crashes
//	CRASH_ON_START  exit code to end with instead
//	SICK            if not empty, the health check answers 500
//	TENANTAPP_TEST  if not empty, /api/env shows values
//	DATA_DIR        where /api/data keeps its files; /app/public/uploads
func main() {
	if ms, err := strconv.Atoi(os.Getenv("START_DELAY_MS")); err == nil {
		time.Sleep(time.Duration(ms) * time.Millisecond) // slow to start, as told
	}
	if code, err := strconv.Atoi(os.Getenv("CRASH_ON_START")); err == nil {
		log.Printf("crashing on start with code %d, as told", code)
		os.Exit(code)
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	server := &http.Server{
		Addr:              ":" + port,
		Handler:           newApp(version, os.Environ()),
		ReadHeaderTimeout: 10 * time.Second,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	log.Printf("tenant %s, version %s, listens on port %s", os.Getenv("TENANT_ID"), version, port)
	select {
	case err := <-ended:
		return fmt.Errorf("listen on port %s: %w", port, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close() // streams and sockets are cut
	}
	return err
}
