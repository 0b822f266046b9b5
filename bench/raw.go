package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
)

const apiVersion = "v1.41"

// raw makes the Engine calls that Berth makes, with nothing in between: plain
// HTTP over the Engine's socket.
type raw struct {
	http    *http.Client
	version string

	mu   sync.Mutex
	next int             // number of the next tenant
	left map[string]bool // names of tenants that exist
}

func newRaw(ctx context.Context) (*raw, error) {
	r := &raw{left: map[string]bool{}, http: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", "/var/run/docker.sock")
		},
	}}}
	var v struct{ Version string }
	if err := r.call(ctx, "GET", "/version", nil, &v); err != nil {
		return nil, err
	}
	r.version = v.Version
	return r, nil
}

// call does one Engine call. A body that is not JSON is thrown away.
func (r *raw) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://engine/"+apiVersion+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotModified {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, bytes.TrimSpace(data))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

type object = map[string]any

// tenant is one tenant that the raw side made.
type tenant struct{ name, network, container string }

func (r *raw) start(ctx context.Context) (tenant, time.Duration, error) {
	return r.startImage(ctx, image, 0.5)
}

// name takes the next name, and notes that something may have it now.
func (r *raw) name() (n int, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = r.next
	r.next++
	name = "berth_bench_" + strconv.Itoa(n)
	r.left[name] = true
	return n, name
}

// startImage makes a network, a container with the limits, the hardening and
// the volumes that Berth gives it, starts it, and polls until the first 200.
func (r *raw) startImage(ctx context.Context, image string, cores float64) (tenant, time.Duration, error) {
	n, name := r.name()
	t := tenant{name: name}
	subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 73, byte(n >> 4), byte(n&15) << 4}), berth.SubnetBits)
	begin := time.Now()
	var id struct{ ID string }
	err := r.call(ctx, "POST", "/networks/create", object{
		"Name": t.name + "_network", "CheckDuplicate": true, "Driver": "bridge", "EnableIPv6": false,
		"IPAM":   object{"Driver": "default", "Config": []object{{"Subnet": subnet.String()}}},
		"Labels": object{"com.unite-hub.tenant.name": t.name},
	}, &id)
	if err != nil {
		return t, 0, err
	}
	t.network = id.ID
	t.container, err = r.run(ctx, t.name, t.name, containerBody(t.name, image, cores))
	return t, time.Since(begin), err
}

// run creates and starts a container in a tenant's network, and polls until its
// first 200.
func (r *raw) run(ctx context.Context, tenant, name string, body object) (container string, err error) {
	var id struct{ ID string }
	if err := r.call(ctx, "POST", "/containers/create?name="+name, body, &id); err != nil {
		return "", err
	}
	if err := r.call(ctx, "POST", "/containers/"+id.ID+"/start", nil, nil); err != nil {
		return id.ID, err
	}
	addr, err := r.address(ctx, tenant, id.ID)
	if err != nil {
		return id.ID, err
	}
	return id.ID, first200(ctx, "http://"+addr.String())
}

// address is where a container of a tenant's listens.
func (r *raw) address(ctx context.Context, tenant, container string) (netip.AddrPort, error) {
	var seen struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress netip.Addr }
		}
	}
	err := r.call(ctx, "GET", "/containers/"+container+"/json", nil, &seen)
	return netip.AddrPortFrom(seen.NetworkSettings.Networks[tenant+"_network"].IPAddress, 3000), err
}

// replace makes another container beside a tenant's, waits until it answers,
// and stops and removes the one before. stopped is when that one was stopped.
func (r *raw) replace(ctx context.Context, t *tenant, image string) (stopped, took time.Duration, err error) {
	begin := time.Now()
	old := t.container
	if err := r.call(ctx, "POST", "/containers/"+old+"/rename?name="+t.name+"_old", nil, nil); err != nil {
		return 0, 0, err
	}
	if t.container, err = r.run(ctx, t.name, t.name, containerBody(t.name, image, 0.5)); err != nil {
		return 0, 0, err
	}
	if err := r.call(ctx, "POST", "/containers/"+old+"/stop?t=10", nil, nil); err != nil {
		return 0, 0, err
	}
	stopped = time.Since(begin)
	err = r.call(ctx, "DELETE", "/containers/"+old+"?force=1", nil, nil)
	return stopped, time.Since(begin), err
}

func containerBody(name, image string, cores float64) object {
	const memory = 512 << 20
	var mounts []object
	for vol, target := range map[string]string{"uploads": "/app/public/uploads", "logs": "/app/logs", "cache": "/app/.next/cache"} {
		mounts = append(mounts, object{"Type": "volume", "Source": name + "_" + vol, "Target": target,
			"VolumeOptions": object{"Labels": object{"com.unite-hub.tenant.name": name}}})
	}
	return object{
		"Image": image, "User": "1001:1001", "StopTimeout": 10,
		"Env":    []string{"TENANT_ID=" + berth.NewID(), "TENANT_NAME=" + name, "NODE_ENV=production", "PORT=3000"},
		"Labels": object{"com.unite-hub.tenant.name": name, "traefik.enable": "true"},
		"HostConfig": object{
			"NetworkMode": name + "_network", "RestartPolicy": object{"Name": "unless-stopped"},
			"CapDrop": []string{"ALL"}, "SecurityOpt": []string{"no-new-privileges:true"}, "ReadonlyRootfs": true,
			"IpcMode": "private", "CgroupnsMode": "private", "PidsLimit": 256, "Init": true,
			"Tmpfs":     object{"/tmp": "rw,noexec,nosuid,nodev,mode=1777,size=64m"},
			"LogConfig": object{"Type": "local", "Config": object{"max-size": "10m", "max-file": "3"}},
			"Memory":    memory, "MemorySwap": memory, "NanoCpus": int64(cores * 1e9),
			"Ulimits": []object{{"Name": "nofile", "Soft": 16384, "Hard": 16384}},
			"Mounts":  mounts,
		},
		"NetworkingConfig": object{"EndpointsConfig": object{name + "_network": object{"Aliases": []string{"app"}}}},
	}
}

// remove does what Berth does: stop with the same grace, remove, remove the
// network and the volumes.
func (r *raw) remove(ctx context.Context, t tenant) error {
	var errs []error
	if t.container != "" {
		errs = append(errs,
			r.call(ctx, "POST", "/containers/"+t.container+"/stop?t=10", nil, nil),
			r.call(ctx, "DELETE", "/containers/"+t.container+"?force=1", nil, nil))
	}
	if t.network != "" {
		errs = append(errs, r.call(ctx, "DELETE", "/networks/"+t.network, nil, nil))
	}
	for _, vol := range []string{"uploads", "logs", "cache"} {
		errs = append(errs, r.call(ctx, "DELETE", "/volumes/"+t.name+"_"+vol, nil, nil))
	}
	err := errors.Join(errs...)
	if err == nil {
		r.mu.Lock()
		delete(r.left, t.name)
		r.mu.Unlock()
	}
	return err
}

// close removes whatever a run that was cut short left.
func (r *raw) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(8)
	for name := range r.left {
		g.Go(func() error { return r.erase(ctx, name) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	clear(r.left)
	return nil
}

// erase removes whatever of a name is there.
func (r *raw) erase(ctx context.Context, name string) error {
	for _, path := range []string{"/containers/" + name + "?force=1", "/containers/" + name + "_old?force=1", "/containers/" + name + "_churn?force=1", "/networks/" + name + "_network",
		"/volumes/" + name + "_uploads", "/volumes/" + name + "_logs", "/volumes/" + name + "_cache"} {
		if err := r.call(ctx, "DELETE", path, nil, nil); err != nil && !strings.Contains(err.Error(), ": 404 ") {
			return err
		}
	}
	return nil
}

// first200 polls a tenant's health check every 2 ms on one kept-alive
// connection until it answers 200.
func first200(ctx context.Context, base string) error {
	tr := &http.Transport{MaxIdleConnsPerHost: 1, MaxConnsPerHost: 1}
	defer tr.CloseIdleConnections()
	cli := &http.Client{Transport: tr, Timeout: 5 * time.Second}
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		resp, err := cli.Get(base + "/api/health")
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(2 * time.Millisecond) // the pace of polling that the comparison asks for
	}
	return fmt.Errorf("%s: no 200 within a minute", base)
}
