package serve

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
)

func TestTheDefaultsAreValid(t *testing.T) {
	c := Default()
	c.StateDir = "/state"
	p, err := c.parse()
	if err != nil || p.database != "/state/berth.db" || p.first != 3001 || p.last != 32767 || p.pool != berth.DefaultPool() {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestABadFlagIsNamedWithItsValueAndAWayOut(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"state-dir":          func(c *Config) { c.StateDir = "" },
		"listen":             func(c *Config) { c.Listen = "3008" },
		"database-url":       func(c *Config) { c.DatabaseURL = "mysql://berth:s3cret@localhost/berth" },
		"engine":             func(c *Config) { c.Engine = "kubernetes" },
		"engine ":            func(c *Config) { c.Engine = "podman" },
		"ports":              func(c *Config) { c.Ports = "3001" },
		"ports ":             func(c *Config) { c.Ports = "4000-3000" },
		"ports  ":            func(c *Config) { c.Ports = "1-70000" },
		"tenant-listen":      func(c *Config) { c.TenantListen = "everywhere" },
		"public-host":        func(c *Config) { c.PublicHost = "http://example.com" },
		"pool":               func(c *Config) { c.Pool = "8.8.8.0/24" },
		"pool ":              func(c *Config) { c.Pool = "10.64.0.0/30" },
		"pool  ":             func(c *Config) { c.Pool = "fd00::/8" },
		"pool   ":            func(c *Config) { c.Pool = "10.64.0.1/12" },
		"deploy-deadline":    func(c *Config) { c.Patience = 0 },
		"observe":            func(c *Config) { c.Observe = -time.Second },
		"deploy-drain":       func(c *Config) { c.TransitionDrain = 0 },
		"hold":               func(c *Config) { c.Hold = 0 },
		"keep-checks":        func(c *Config) { c.KeepChecks = time.Minute },
		"keep-minutes":       func(c *Config) { c.KeepMinutes = time.Hour },
		"keep-hours":         func(c *Config) { c.KeepHours = time.Hour },
		"keep-days":          func(c *Config) { c.KeepDays = time.Hour },
		"keep-deployments":   func(c *Config) { c.KeepDeployments = 9 },
		"keep-deployments ":  func(c *Config) { c.KeepDeployments = -1 },
		"keep-deployments  ": func(c *Config) { c.KeepDeployments = 1001 },
		"keep-removed":       func(c *Config) { c.KeepRemoved = time.Hour },
		"keep-removed ":      func(c *Config) { c.KeepRemoved = -time.Hour },
		"keep-access":        func(c *Config) { c.KeepAccess = time.Hour },
		"drain":              func(c *Config) { c.Drain = -time.Second },
	} {
		c := Default()
		c.StateDir = "/state"
		change(&c)
		flag := strings.TrimSpace(what)
		_, err := c.parse()
		var e *berth.Error
		if !errors.As(err, &e) || e.Field != flag || !strings.Contains(e.Message, "--"+flag) || !strings.Contains(e.Hint, " was given; ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTheControlPlanesOwnPortsAreReserved(t *testing.T) {
	if got := fmt.Sprint(reservedPorts(&net.TCPAddr{Port: 4711})); got != "[3008 4711]" {
		t.Errorf("reserved: %s", got)
	}
}

func TestAStateDirectoryServesOneAtATime(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockState(dir); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("taken twice: %v", err)
	}
	unlock()
	again, err := lockState(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
