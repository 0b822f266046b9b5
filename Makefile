# Berth. `make help` lists what can be made.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# With -trimpath a clone elsewhere finds what has been compiled here.
export GOFLAGS := -buildvcs=false -trimpath

version := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
tool := go tool -modfile=tools/go.mod
# SQLite's own code, translated to Go by a machine, works on one connection at a
# time and has nothing to race with. The race detector leaves it out, as it would
# leave out C: the store's tests take a third of the time. The driver stays in.
unwatched := github.com/ncruces/go-sqlite3-wasm/...=-race=false

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## make bin/berth, one static binary
	go run ./scripts/quickstart bin/.quickstart
	CGO_ENABLED=0 go build -modfile=bin/.quickstart/go.mod -ldflags "-s -w -X github.com/unite-hub/berth/internal/cli.version=$(version)" -o bin/berth ./cmd/berth

.PHONY: demo
demo: ## the main job on real containers: provision, call, scale, deploy, roll back
	@scripts/demo.sh

# The order in which the longest packages begin; go test takes packages in the order of
# its arguments, each once, and three run side by side: what one waits for, another one
# works. Few of those that wait for the Engine stand beside each other.
longest := ./test/e2e ./internal/reconcile ./internal/api ./internal/engine/docker ./internal/edge \
	./test/rls ./test/kill ./internal/store/... ./internal/cli ./test/planes ./internal/health \
	./test/storm ./internal/blueprint ./test/saas
# lint has just run vet over the tests too; debuggers' tables, which -w leaves out,
# take most of the time that linking takes.
race := -race -vet=off -ldflags=-w -gcflags='$(unwatched)'

# At its end a raced process waits for races that other goroutines may still report, a
# second if nothing is said: hundreds of commands and control planes end in these tests.
test test-long: export GORACE := atexit_sleep_ms=100 $(GORACE)
.PHONY: test
test: lint build images postgres ## every test, on real components; starts what it needs
	shared=$$(mktemp -d); trap 'rm -rf "$$shared"' EXIT; export BERTH_TESTBED=$$shared; \
	$(tool) gotestsum --format pkgname -- $(race) -p 3 -timeout 45m $(longest) ./...

.PHONY: test-long
test-long: build images postgres ## the randomized tests for many more steps, half an hour of storms, and the fuzzers
	BERTH_LONG=1 go test -timeout 60m -run TestModel -v ./internal/reconcile
	BERTH_LONG=1 go test -timeout 60m -v ./test/storm
	for target in $$(grep -rlE 'func Fuzz' --include=*_test.go . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ohE 'func Fuzz[A-Za-z0-9_]*' $$target/*_test.go | sed 's/func //'); do \
			go test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$target; done; done

.PHONY: bench
bench: build images ## Berth beside the raw Engine API, interleaved in one run
	go run ./bench

.PHONY: lint
lint: ## format, vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	$(tool) staticcheck ./...

.PHONY: vuln
vuln: ## known vulnerabilities of what is linked; needs the Go vulnerability database
	$(tool) govulncheck ./...

.PHONY: golden
golden: ## write the golden files anew; read the diff
	go test ./internal/blueprint -run "Golden|Document" -update && go test ./internal/engine/docker -run StacksBecome -update && go test ./internal/api -run OpenAPI -update

.PHONY: fmt
fmt: ## format the code
	gofmt -w .

.PHONY: engine
engine: ## make sure that a Docker Engine answers
	@scripts/engine.sh

.PHONY: images
images: engine ## the images of the examples, from Debian's packages; and docker-compose
	@scripts/compose.sh
	@scripts/images.sh

.PHONY: postgres
postgres: ## make sure that PostgreSQL's programs are there
	@scripts/postgres.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
