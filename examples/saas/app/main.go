// Saas is a small product of several services: a web, a worker, migrations and
// a PostgreSQL database, one set for each tenant. Berth's tests run it, and
// ../blueprint.yml shows how such a product is described.
//
//	saas web              answers requests on PORT
//	saas worker           does the jobs that the web put down
//	saas migrate          brings the schema up to this version, then ends
//	saas healthcheck URL  exits 0 if URL answers 200
//
// It is one static binary that runs from an empty image with a read-only root.
// Exit codes: 1 it failed, 2 wrong usage, 3 the migration failed and nothing
// was changed.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// version and schema are set by the linker. A release ships the migrations up
// to schema; "" means all that there are.
var (
	version = "dev"
	schema  = ""
)

const usage = "usage: saas web | worker | migrate | healthcheck URL"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv))
}

// run returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string) int {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil)).
		With("service", command, "tenant", getenv("TENANT_ID"), "version", version)
	if command == "healthcheck" && len(args) == 2 {
		return exit(logger, 1, healthcheck(ctx, args[1]))
	}
	commands := map[string]func(context.Context, config, *slog.Logger) error{
		"web": serveWeb, "worker": runWorker, "migrate": runMigrate,
	}
	do, known := commands[command]
	if !known || len(args) != 1 {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	failed := 1
	if command == "migrate" {
		failed = 3
	}
	cfg, err := readConfig(getenv)
	if err != nil {
		return exit(logger, failed, err)
	}
	return exit(logger, failed, do(ctx, cfg, logger))
}

func exit(logger *slog.Logger, failed int, err error) int {
	if err != nil {
		logger.Error("failed", "error", err)
		return failed
	}
	return 0
}
