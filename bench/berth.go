package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

// berthSide is a real control plane, as its own process.
type berthSide struct {
	*testbed.Process
	http *http.Client

	mu   sync.Mutex
	left map[string]bool // organizations that exist
}

func startBerth(ctx context.Context, args ...string) (*berthSide, error) {
	dir, err := os.MkdirTemp("", "berth-bench")
	if err != nil {
		return nil, err
	}
	p := &testbed.Process{Binary: "bin/berth", StateDir: dir, Ports: "21000-21999", Pool: "10.73.128.0/17", Args: args}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &berthSide{Process: p, left: map[string]bool{}, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}, nil
}

// call does one API call.
func (b *berthSide) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, b.URL+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, bytes.TrimSpace(data))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// start provisions and starts one tenant in one call, which is answered when
// the tenant is well, and then polls its own port until the first 200. The raw
// side, too, begins to poll when there is something to ask.
func (b *berthSide) start(ctx context.Context) (org string, took time.Duration, err error) {
	return b.startFrom(ctx, object{"imageTag": image})
}

// startFrom adds to the request what more decides what is started.
func (b *berthSide) startFrom(ctx context.Context, request object) (org string, took time.Duration, err error) {
	org = berth.NewID()
	b.mu.Lock()
	b.left[org] = true
	b.mu.Unlock()
	begin := time.Now()
	var made struct{ ExternalPort int }
	body := object{"organizationId": org, "tenantName": "Bench " + org[:8], "start": true}
	maps.Copy(body, request)
	err = b.call(ctx, "POST", "/api/tenants/provision?wait=60", body, &made)
	if err != nil {
		return org, 0, err
	}
	err = first200(ctx, fmt.Sprintf("http://127.0.0.1:%d", made.ExternalPort))
	return org, time.Since(begin), err
}

// remove deprovisions one tenant and waits until it is gone.
func (b *berthSide) remove(ctx context.Context, org string) error {
	err := b.call(ctx, "DELETE", "/api/tenants/"+org+"?volumes=delete&wait=120", nil, nil)
	if err != nil && strings.Contains(err.Error(), ": 404 ") {
		err = nil
	}
	if err == nil {
		b.mu.Lock()
		delete(b.left, org)
		b.mu.Unlock()
	}
	return err
}

func (b *berthSide) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if len(b.left) > 0 && !b.Running() {
		if err := b.Start(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for org := range b.left {
		errs = append(errs, b.remove(ctx, org))
	}
	// While anything is left, the state directory is what proves it ours.
	if err := errors.Join(append(errs, b.Stop())...); err != nil {
		return fmt.Errorf("state is kept in %s: %w", b.StateDir, err)
	}
	return os.RemoveAll(b.StateDir)
}
