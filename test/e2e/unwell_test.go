package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// quick is probed so often that its health shows within seconds.
const quick = `name: quick
services:
  web:
    image: berth-demo:1
    user: "1001:1001"
x-berth:
  service: web
  port: 3000
  health: {path: /api/health, interval: 1s, timeout: 500ms, retries: 2, start_period: 5s}
`

// hook is a receiver of webhooks.
type hook struct {
	*httptest.Server
	mu    sync.Mutex
	types []string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ Type string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("webhook-signature") == "" {
			t.Errorf("a delivery without a body or a signature: %v", err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.types = append(h.types, body.Type)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.types)
}

// unready reports whether a tenant's port says that the tenant is not well.
func (s *site) unready(port int) bool {
	s.Helper()
	res, err := http.Get(testbed.At(port, "/"))
	s.Must(err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	s.Must(err)
	if res.StatusCode != http.StatusServiceUnavailable {
		return false
	}
	if !strings.Contains(string(body), `"tenant_unready"`) || res.Header.Get("Retry-After") != "5" {
		s.Errorf("%s, to be tried again after %q: %s", res.Status, res.Header.Get("Retry-After"), body)
	}
	return true
}

func TestATenantThatIsNotWellGetsNoRequestsUntilItIsAndSomebodyIsTold(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--blueprint", blueprintFile(t, quick), "--notify-http", "--notify-allow", "127.0.0.0/8")
	org := berth.NewID()
	sick := s.provision(client.Provision{OrganizationID: org, TenantName: "Sick", Start: true})
	neighbour := s.provision(client.Provision{TenantName: "Neighbour", Start: true})
	h := newHook(t)
	_, err := s.api.AddNotification(s.Ctx, "", h.URL, nil)
	s.Must(err)
	before := s.inspect(org)
	s.under(neighbour.ExternalPort, 100, func() {
		if status, body := s.behave(sick.ExternalPort, `{"healthStatus": 503}`); status != http.StatusNoContent {
			t.Fatalf("%d %s", status, body)
		}
		s.Eventually(15*time.Second, "its port says that it is not well", func() bool { return s.unready(sick.ExternalPort) })
		s.Eventually(15*time.Second, "somebody is told", func() bool { return slices.Equal(h.got(), []string{"tenant.unhealthy"}) })
		tn, err := s.api.Tenant(s.Ctx, org)
		s.Must(err)
		if tn.Status != "running" || tn.HealthStatus != "unhealthy" || tn.Cause == nil || !strings.Contains(*tn.Cause, "503") {
			t.Errorf("it is %s and %s: %v", tn.Status, tn.HealthStatus, tn.Cause)
		}
		if status, body := s.Ask(http.MethodPost, s.direct(org, "/api/behave"), `{}`); status != http.StatusNoContent {
			t.Fatalf("%d %s", status, body)
		}
		s.Eventually(15*time.Second, "it serves again", func() bool { return s.Serves(sick.ExternalPort, "1") })
		s.Eventually(15*time.Second, "somebody is told again", func() bool {
			return slices.Equal(h.got(), []string{"tenant.unhealthy", "tenant.recovered"})
		})
	})
	if after := s.inspect(org); after.State.Pid != before.State.Pid {
		t.Error("it was restarted, though it gave a sign of life")
	}
	if u, r := s.events(org, berth.EventUnhealthy), s.events(org, berth.EventRecovered); len(u) != 1 || len(r) != 1 {
		t.Errorf("told as %q and %q", u, r)
	}
	health, err := s.api.Health(s.Ctx, org, 100, 0)
	s.Must(err)
	if !slices.ContainsFunc(health.Checks, func(p client.Probe) bool {
		return p.Status == "unhealthy" && p.HTTPStatusCode != nil && *p.HTTPStatusCode == http.StatusServiceUnavailable
	}) {
		t.Errorf("recorded as %+v", health.Checks)
	}
}

// Fault 33, and seed fault 14: what hangs is recorded as a timeout.
func TestATenantThatHangsIsRestarted(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--blueprint", blueprintFile(t, quick))
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Hangs", Start: true})
	neighbour := s.provision(client.Provision{TenantName: "Neighbour", Start: true})
	before := s.inspect(org)
	s.under(neighbour.ExternalPort, 50, func() {
		if status, body := s.behave(made.ExternalPort, `{"healthDelayMs": 3600000}`); status != http.StatusNoContent {
			t.Fatalf("%d %s", status, body)
		}
		s.Eventually(15*time.Second, "its port says that it is not well", func() bool { return s.unready(made.ExternalPort) })
		s.Eventually(90*time.Second, "it was restarted and serves", func() bool {
			return s.inspect(org).State.StartedAt != before.State.StartedAt && s.Serves(made.ExternalPort, "1")
		})
	})
	if after := s.inspect(org); after.ID != before.ID {
		t.Error("it was made anew")
	}
	if drift := s.events(org, berth.EventDrift); len(drift) != 1 || !strings.Contains(drift[0], "no sign of life") {
		t.Errorf("told as %q", drift)
	}
	health, err := s.api.Health(s.Ctx, org, 100, 0)
	s.Must(err)
	timeouts := 0
	for _, p := range health.Checks {
		if p.Status == "timeout" && p.HTTPStatusCode == nil && p.ErrorMessage != nil {
			timeouts++
		}
	}
	if timeouts < 20 {
		t.Errorf("%d of %d checks are timeouts", timeouts, len(health.Checks))
	}
	s.converges(org, "1", made.ExternalPort)
}

// Fault 38.
func TestAWebhookReachesNothingInside(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--notify-http")
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Inside", Start: true})
	var asked sync.Map
	inside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.URL.Path, true) }))
	t.Cleanup(inside.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(inside.URL, "http://"), ":")
	for name, target := range map[string]string{
		"loopback":             inside.URL + "/loopback",
		"loopback by a name":   "http://localhost:" + port + "/name",
		"loopback in disguise": "http://[::ffff:127.0.0.1]:" + port + "/mapped",
		"a tenant":             s.direct(org, "/api/health"),
		"a tenant's gateway":   fmt.Sprintf("http://%s:%d/", s.gateway(org), made.ExternalPort),
		"the cloud's secrets":  "http://169.254.169.254/latest/meta-data/",
	} {
		channel, err := s.api.AddNotification(s.Ctx, "", target, nil)
		s.Must(err)
		d, err := s.api.TestNotification(s.Ctx, channel.ID)
		s.Must(err)
		s.Eventually(15*time.Second, "a delivery to "+name+" was tried", func() bool {
			page, err := s.api.Deliveries(s.Ctx, channel.ID, "", 0)
			s.Must(err)
			list := page.Deliveries
			i := slices.IndexFunc(list, func(x client.Delivery) bool { return x.ID == d.ID })
			if i < 0 || list[i].Attempt == 0 {
				return false
			}
			if list[i].State == "delivered" || list[i].StatusCode != nil || list[i].Error == nil || !strings.Contains(*list[i].Error, "inside") {
				t.Errorf("%s: %+v", name, list[i])
			}
			return true
		})
	}
	asked.Range(func(path, _ any) bool {
		t.Errorf("%s was reached", path)
		return true
	})
}

// gateway is the host's address in a tenant's network.
func (s *site) gateway(org string) string {
	s.Helper()
	for _, n := range s.inspect(org).NetworkSettings.Networks {
		return gatewayOf(n)
	}
	s.Fatal("no network")
	return ""
}

func gatewayOf(n *network.EndpointSettings) string { return n.Gateway.String() }
