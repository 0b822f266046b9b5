// Command vault serves HashiCorp Vault's own transit engine, in memory, for the
// tests of the KMS. The engine, its answers and its errors are Vault's code;
// only the front is ours: one mount, one token, no policies. It is a module of
// its own, so that nothing of it is ever linked into Berth: Vault's licence
// (BUSL) allows it to be run for tests, not to be part of a product.
package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/sdk/logical"
)

const mount = "/v1/transit/"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	token := os.Getenv("TOKEN")
	if len(os.Args) != 2 || token == "" {
		return errors.New("usage: TOKEN=… vault ADDRESS")
	}
	storage := &logical.InmemStorage{}
	engine, err := transit.Factory(context.Background(), &logical.BackendConfig{StorageView: storage, System: logical.TestSystemView()})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		return err
	}
	fmt.Printf("ready http://%s\n", l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, mount)
		given := r.Header.Get("X-Vault-Token")
		if !ok || subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			logical.RespondError(w, http.StatusForbidden, logical.ErrPermissionDenied)
			return
		}
		data := map[string]any{}
		if r.Body != nil && r.ContentLength != 0 {
			if err := json.NewDecoder(r.Body).Decode(&data); err != nil {
				logical.RespondError(w, http.StatusBadRequest, err)
				return
			}
		}
		verb := map[string]logical.Operation{"GET": logical.ReadOperation, "POST": logical.UpdateOperation, "PUT": logical.UpdateOperation, "DELETE": logical.DeleteOperation}[r.Method]
		request := &logical.Request{Operation: verb, Path: path, Data: data, Storage: storage, ClientToken: given, MountPoint: "transit/"}
		if exists, found, err := engine.HandleExistenceCheck(r.Context(), request); err == nil && exists && !found && verb == logical.UpdateOperation {
			request.Operation = logical.CreateOperation
		}
		answer, err := engine.HandleRequest(r.Context(), request)
		if status, err := logical.RespondErrorCommon(request, answer, err); err != nil || status != 0 {
			logical.RespondError(w, status, err)
			return
		}
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(logical.LogicalResponseToHTTPResponse(answer)) // the client may be gone
	}))
}
