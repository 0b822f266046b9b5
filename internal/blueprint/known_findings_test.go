package blueprint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/blueprint"
)

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
    volumes: ["v:/x:z", "f:/a", 'c:\data:/b']
volumes:
  v: {}
`, `6 services.web.volumes[1]: invalid: f: is a drive of Windows to compose, not a volume (name the volume with 2 letters or more)
6 services.web.volumes[2]: invalid: c: is a drive of Windows to compose, not a volume (name the volume with 2 letters or more)
8 volumes.v: invalid: "v" is not a name for a volume (use 2 letters or more)
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

// More services than there may be do not hide what else is wrong with them.
func TestTooManyServicesHideNothing(t *testing.T) {
	var source strings.Builder
	source.WriteString("services:\n")
	for n := range 12 {
		fmt.Fprintf(&source, "  s%d:\n    image: shop:1\n    user: \"1:1\"\n    restart: sometimes\n", n)
	}
	_, findings := blueprint.Parse([]byte(source.String() + "x-berth: {service: s0, port: 3000}\n"))
	list := show(findings)
	if !strings.HasPrefix(list, "1 services: invalid: there are 12 services; 1 to 10 are supported") || strings.Count(list, "is not a restart policy") != 12 || len(findings) != 13 {
		t.Errorf("got\n%s", list)
	}
}
