package blueprint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/blueprint"
)

// compose-go stops at the first thing that it refuses; a blueprint's author
// sees all of them, with what Berth itself refuses, and nothing that only
// follows from them.
func TestWhatComposeRefusesHidesNoOtherFinding(t *testing.T) {
	_, findings := blueprint.Parse([]byte(`name: shop
services:
  web:
    image: [shop:1]
    user: root
    ports: ["3000", {target: nine}]
    environment:
      A: x
      B: {c: d}
      1C: x
    volumes: ["uploads:/srv", "data:/data", 5]
    deploy:
      replicas: many
      resources:
        limits: {cpus: "1", memory: [1]}
  db:
    image: db:1
    user: "999:999"
    depends_on: {cache: {condition: service_healthy}, web: 5}
    healthcheck: {test: [CMD, a], retries: x}
    stop_grace_period: 1h
  cache: []
volumes:
  data: 5
  uploads: {}
networks: [a]
x-berth:
  service: web
  shares: {cache: 1, nobody: 1}
  healt: {}
  limits: {cpus: 1, memory_mb: 512}
`))
	want := `4 services.web.image: invalid: must be a string (see the Compose Specification)
5 services.web.user: forbidden: the service would run as root (name user and group by numbers other than 0, such as "65532:65532")
6 services.web.ports[1].target: invalid: expected type 'uint32', got unconvertible type 'string' (see the Compose Specification)
9 services.web.environment.B: invalid: must be a boolean, null, number or string (see the Compose Specification)
10 services.web.environment.1C: invalid: "1C" is not a name for a variable (use letters, digits and _)
11 services.web.volumes[2]: invalid: must be a string (see the Compose Specification)
13 services.web.deploy.replicas: invalid: strconv.Atoi: parsing "many": invalid syntax (see the Compose Specification)
15 services.web.deploy.resources.limits.memory: invalid: must be a string (see the Compose Specification)
19 services.db.depends_on.web: invalid: must be a mapping (see the Compose Specification)
20 services.db.healthcheck.retries: invalid: expected type 'uint64', got unconvertible type 'string' (see the Compose Specification)
21 services.db.stop_grace_period: invalid: 1h0m0s is not from 0 s to 5 minutes (give a duration such as 30s)
22 services.cache: invalid: is not a map (write it as a map of attributes)
24 volumes.data: invalid: must be a mapping or null (see the Compose Specification)
26 networks: invalid: must be a mapping (see the Compose Specification)
29 x-berth.shares.nobody: invalid: there is no service "nobody" (name one of the services)
30 x-berth.healt: invalid: is not a key of x-berth (did you mean health?)
`
	if got := show(findings); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestAFindingIsOnTheLineThatItNames(t *testing.T) {
	const source = `services:
  web:
    image: shop:1
    user: "1000:1000"
    environment:
      FIRST: x
      SECOND: ${
      TENANT_ID: x
    labels:
      com.example.first: x
      com.example.second: ${
      com.unite-hub.x: y
    command:
      - a
      - ${
    ports:
      - "3000"
      - "3001:3000"
    security_opt:
      - no-new-privileges:true
      - seccomp:unconfined
    healthcheck:
      test:
        - CMD
        - ${
    depends_on:
      - db
      - nobody
    networks:
      default:
        aliases:
          - fine
          - not fine
    restart: sometimes
  db:
    image: db:1
    user: "1000:1000"
    environment:
      - A=x
      - B=${
    labels:
      - a=x
      - com.docker.b=y
x-berth:
  service: web
  port: 3000
  capabilities:
    web:
      - KILL
      - SYS_ADMIN
  writable:
    web:
      - /a
      - b
  tenant_environment:
    - web
    - nobody
`
	_, findings := blueprint.Parse([]byte(source))
	lines := strings.Split(source, "\n")
	got := ""
	for _, f := range findings {
		got += fmt.Sprintf("%s: %s\n", f.Path, strings.TrimSpace(lines[f.Line-1]))
	}
	want := `services.web.environment.SECOND: SECOND: ${
services.web.environment.TENANT_ID: TENANT_ID: x
services.web.labels.com.example.second: com.example.second: ${
services.web.labels.com.unite-hub.x: com.unite-hub.x: y
services.web.command[1]: - ${
services.web.ports[1]: - "3001:3000"
services.web.security_opt[1]: - seccomp:unconfined
services.web.healthcheck.test[1]: - ${
services.web.depends_on.nobody: - nobody
services.web.networks.default.aliases[1]: - not fine
services.web.restart: restart: sometimes
services.db.environment.B: - B=${
services.db.labels.com.docker.b: - com.docker.b=y
x-berth.capabilities.web[1]: - SYS_ADMIN
x-berth.writable.web[1]: - b
x-berth.tenant_environment[1]: - nobody
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestAFileWithMoreFindingsThanAreLookedForSaysSo(t *testing.T) {
	source := "services:\n  web:\n    image: a\n    user: '1:1'\n    environment:\n"
	for i := range 1000 {
		source += fmt.Sprintf("      A%d: [x]\n", i)
	}
	_, findings := blueprint.Parse([]byte(source + "x-berth: {port: 80}\n"))
	if len(findings) < 100 || len(findings) > 1000 || findings[0].Path != "" || !strings.Contains(findings[0].Rule, "than is shown") {
		t.Errorf("%d findings, the first %+v", len(findings), findings[0])
	}
}
