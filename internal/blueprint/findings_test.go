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

// Each of these was reported twice, elsewhere than it stands, or for a reason that was
// not true, in files that people use.
func TestAFindingSaysOnceAndWhereItStandsWhatIsTrue(t *testing.T) {
	const noUser = `forbidden: no user is named, so the image decides, and most run as root (name user and group by numbers other than 0, such as "65532:65532")`
	for what, c := range map[string]struct{ source, want string }{
		"what is built has no image": {
			`services:
  web:
    build: .
    user: "1:1"
    ports: ["3000"]
`, `3 services.web.build: not supported yet: Berth builds no images (build the image yourself and name it with image)
`},
		"a secret that is a file of the host": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
    secrets: [key]
secrets:
  # the key
  key: {file: ./key}
`, `9 secrets.key.file: forbidden: files of the host are not read: they are not part of the blueprint's version (name the tenant's variable with environment)
`},
		"a secret that says nothing": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
secrets:
  key: {}
`, `7 secrets.key: invalid: one of file|environment must be set (see the Compose Specification)
`},
		"what is missing is missing in its service, not behind a comment": {
			`services:

  web:
    # the image

    # of the shop
    image: web:1
    ports: ["3000"]
`, "3 services.web.user: " + noUser + "\n"},
		"a limit in its own words": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
    mem_limit: 64g
  worker:
    image: worker:1
    user: "1:1"
    cpus: 64
`, `6 services.web.mem_limit: invalid: 68719476736 bytes are not from 16 MB to 8192 MB (give a size such as 256M)
10 services.worker.cpus: invalid: 64 is not from 0.01 to 4 (give cores such as 0.5)
`},
		"more than a tenant has, where the file says it": {
			`name: shop
services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
    cpus: 0.1
  worker:
    image: worker:1
    user: "1:1"
    mem_limit: 2g
`, `11 services.worker.mem_limit: invalid: the services ask for 0.10 cores and 2048 MB, the tenant has 0.50 and 512 (raise x-berth.limits, or ask for less)
`},
		"more than the file says that a tenant has": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
    deploy: {resources: {limits: {cpus: "2"}}}
x-berth:
  limits: {cpus: 1}
`, `8 x-berth.limits: invalid: the services ask for 2.00 cores and 0 MB, the tenant has 1.00 and 512 (raise x-berth.limits, or ask for less)
`},
		"a range of ports": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports:
      - "4000-4010:5000-5010"
      - "6000:6000"
`, `6 services.web.ports[0]: not supported yet: is a range of 11 ports, and the edge publishes one (name the port that takes requests, such as "3000")
7 services.web.ports[1]: forbidden: two tenants can't both have port 6000 of the host (write "${EXTERNAL_PORT}:6000" or "6000": each tenant gets a port of its own)
`},
		"a range alone": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["5000-5001"]
`, `5 services.web.ports[0]: not supported yet: is a range of 2 ports, and the edge publishes one (name the port that takes requests, such as "3000")
`},
		"volumes of one letter": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
    volumes: ["v:/x:z", "f:/a", "g:data"]
volumes:
  v: {}
`, `6 services.web.volumes[1]: invalid: f: is a drive of Windows to compose, not a volume (name the volume with 2 letters or more)
6 services.web.volumes[2]: invalid: g: is a drive of Windows to compose, not a volume (name the volume with 2 letters or more)
8 volumes.v: invalid: "v" is not a name for a volume (use 2 letters or more)
`},
		"paths of the host, on Windows": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
    volumes: ["C:/Users/me/app:/app", 'c:\data:/b']
`, `6 services.web.volumes[0]: forbidden: mounts "C:/Users/me/app" of the host, which all tenants would share (use a named volume, or put the file into the image)
6 services.web.volumes[1]: forbidden: mounts "c:\\data" of the host, which all tenants would share (use a named volume, or put the file into the image)
`},
		"what stands twice, and what stands behind it": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: [3000, "3000/tcp", "5000-5001", "6000:6000"]
    volumes: ["data:/a", "v:/x:z", "/etc:/b"]
volumes: {data: {}}
`, `2 x-berth.port: invalid: it is not clear where service web listens (name it in x-berth.port)
5 services.web.ports[2]: not supported yet: is a range of 2 ports, and the edge publishes one (name the port that takes requests, such as "3000")
5 services.web.ports[3]: forbidden: two tenants can't both have port 6000 of the host (write "${EXTERNAL_PORT}:6000" or "6000": each tenant gets a port of its own)
6 services.web.volumes[1]: invalid: v: is a drive of Windows to compose, not a volume (name the volume with 2 letters or more)
6 services.web.volumes[2]: forbidden: mounts "/etc" of the host, which all tenants would share (use a named volume, or put the file into the image)
`},
		"a service that says nothing, beside one that says what is wrong": {
			`services:
  web:
  worker:
    image: worker:1
    user: "1:1"
    ports: ["3000"]
    restart: sometimes
`, `2 services.web: invalid: is not a map (write it as a map of attributes)
7 services.worker.restart: invalid: "sometimes" is not a restart policy (use unless-stopped, or "no" for a service that runs once per release)
`},
		"a port of the host's loopback does not say which service takes requests": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: [{target: 3000, host_ip: 127.0.0.1}]
  db:
    image: db:1
    user: "1:1"
    ports: [{target: 5432, host_ip: 127.0.0.1}]
`, `1 x-berth.service: invalid: it is not clear which service takes requests (name it in x-berth.service)
5 services.web.ports[0].host_ip: not supported yet: the edge publishes one port, where --tenant-listen says (leave it out)
9 services.db.ports[0].host_ip: not supported yet: the edge publishes one port, where --tenant-listen says (leave it out)
`},
		"a port that is not known is not told": {
			`services:
  web:
    image: web:1
    user: "1:1"
    environment: {PORT: "3000"}
`, `2 x-berth.port: invalid: it is not clear where service web listens (name it in x-berth.port)
`},
		"a secret whose name is refused says nothing all the same": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
secrets:
  key: {name: k}
`, `7 secrets.key: invalid: one of file|environment must be set (see the Compose Specification)
7 secrets.key.name: not supported yet: a secret is each tenant's own (leave it out)
`},
		"what a service extends may have its image": {
			`services:
  web:
    extends: {service: base, file: other.yml}
    ports: ["3000"]
`, `3 services.web.extends: forbidden: a blueprint is one file, and each service stands for itself (write the attributes out, or use a YAML anchor)
`},
		"of two limits the one in force": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
    cpus: 0.5
    deploy: {resources: {limits: {cpus: "64", pids: 5000}}}
`, `6 services.web.cpus: invalid: cpus and deploy.resources.limits.cpus differ (leave one of the two out)
7 services.web.deploy.resources.limits.cpus: invalid: 64 is not from 0.01 to 4 (give cores such as 0.5)
7 services.web.deploy.resources.limits.pids: invalid: 5000 is not from 1 to 4096 (give a number from 1 to 4096)
`},
		"an item of a list in long form": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000-3001", {target: 5000, published: "5000"}]
    volumes: [{type: volume, source: "tenant_${TENANT_ID}_data", target: /data}]
    cpus: -1
    deploy: {replicas: 1}
volumes: {data: {}}
`, `5 services.web.ports[0]: not supported yet: is a range of 2 ports, and the edge publishes one (name the port that takes requests, such as "3000")
5 services.web.ports[1]: forbidden: two tenants can't both have port 5000 of the host (write "${EXTERNAL_PORT}:5000" or "5000": each tenant gets a port of its own)
6 services.web.volumes[0].source: invalid: refers to a variable where none is put in (variables are put into command, entrypoint, environment, labels and healthcheck.test; write a literal here)
7 services.web.cpus: invalid: -1 is not from 0.01 to 4 (give cores such as 0.5)
`},
		"the port that takes requests is known, whatever is published": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["5000-5001"]
    environment: {PORT: "9999"}
x-berth: {port: 3000}
`, `5 services.web.ports[0]: not supported yet: is a range of 2 ports, and the edge publishes one (name the port that takes requests, such as "3000")
6 services.web.environment.PORT: forbidden: requests come to port 3000, and a program that listens where PORT says would never get them (leave it out: Berth sets PORT)
`},
		"a port is no identity": {
			`services:
  web:
    image: web:1
    user: "1:1"
    ports: ["3000"]
    environment: {PORT: "8080", TENANT_ID: x}
`, `6 services.web.environment.PORT: forbidden: requests come to port 3000, and a program that listens where PORT says would never get them (leave it out: Berth sets PORT)
6 services.web.environment.TENANT_ID: forbidden: a tenant whose identity could be another's would serve another one's data (leave it out: Berth sets TENANT_ID)
`},
	} {
		_, findings := blueprint.Parse([]byte(c.source))
		if got := show(findings); got != c.want {
			t.Errorf("%s: got\n%s", what, got)
		}
	}
}

// More services than there may be do not hide what else is wrong with them, and how
// they depend on each other is not asked: thousands in a row would take minutes.
func TestTooManyServicesHideNothing(t *testing.T) {
	var source strings.Builder
	source.WriteString("services:\n")
	for n := range 12 {
		fmt.Fprintf(&source, "  s%d:\n    image: shop:1\n    user: \"1:1\"\n    restart: sometimes\n    depends_on: [nobody]\n", n)
	}
	_, findings := blueprint.Parse([]byte(source.String() + "x-berth: {service: s0, port: 3000}\n"))
	list := show(findings)
	if !strings.HasPrefix(list, "1 services: invalid: there are 12 services; 1 to 10 are supported") || strings.Count(list, "is not a restart policy") != 12 || strings.Count(list, "there is no service") != 12 || len(findings) != 25 {
		t.Errorf("got\n%s", list)
	}

	source.Reset()
	source.WriteString("services:\n")
	for n := range 4000 {
		fmt.Fprintf(&source, "  s%d: {image: \"a:1\", user: \"1:1\", depends_on: [s%d]}\n", n, n+1)
	}
	if _, findings = blueprint.Parse([]byte(source.String() + "  s4000: {image: \"a:1\", user: \"1:1\"}\nx-berth: {service: s0, port: 3000}\n")); len(findings) == 0 {
		t.Error("4001 services")
	}
}
