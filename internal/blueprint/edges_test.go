package blueprint_test

import (
	"slices"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
)

// Values that pass every comparison, or that the source itself can't hold.
func TestValuesThatSlipPastComparisonsAreRefused(t *testing.T) {
	const own = "x-berth: {service: web, port: 3000}"
	for what, c := range map[string]struct{ web, rest, path string }{
		"a limit that is no number":       {`deploy: {resources: {limits: {cpus: "NaN"}}}`, own, "services.web.deploy.resources.limits.cpus"},
		"a reservation that is no number": {`deploy: {resources: {reservations: {cpus: "NaN"}}}`, own, "services.web.deploy.resources.reservations"},
		"NUL in a command":                {`command: ["a\0OWN\0:-b\0"]`, own, ""},
		"NUL in a label":                  {`labels: {a: "\0"}`, own, ""},
		"NUL in a key":                    {`labels: {"a\0": b}`, own, ""},
		"bytes that are no text":          {`environment: {A: !!binary /w==}`, own, ""},
		"a port that can't be":            {`ports: [{target: 70000}]`, "", "services.web"},
		"an exposed port that can't be":   {`expose: ["0"]`, "", "services.web"},
		"two things at /tmp":              {"volumes: [\"data:/tmp\"]\n    tmpfs: [/tmp]", "volumes: {data: {}}\n" + own, "services.web.tmpfs[0]"},
		"no restart, three times":         {`restart: "no:3"`, own, "services.web.restart"},
		"a pattern without its anchors":   {"environment: {}", "x-berth: {service: web, port: 3000, variables: {A: {pattern: 'a)|(?:b'}}}", "x-berth.variables.A.pattern"},
		"restarts that are counted":       {`restart: on-failure:3`, own, "services.web.restart"},
	} {
		source := "services:\n  web:\n    image: shop:1\n    user: \"1000:1000\"\n    " + c.web + "\n" + c.rest + "\n"
		_, findings := blueprint.Parse([]byte(source))
		if !slices.ContainsFunc(findings, func(f blueprint.Finding) bool { return f.Path == c.path }) {
			t.Errorf("%s: wanted a finding at %q, got\n%s", what, c.path, show(findings))
		}
	}
}

func TestATmpfsInLongSyntaxMayStandAtTmp(t *testing.T) {
	app, findings := blueprint.Parse([]byte(inWeb("volumes: [{type: tmpfs, target: /tmp, tmpfs: {size: 128m}}]")))
	if app == nil || !slices.Equal(app.Services[0].Tmpfs, []berth.Tmpfs{{Target: "/tmp", SizeMB: 128}}) {
		t.Errorf("%+v\n%s", app, show(findings))
	}
}

func TestManyPortsAreReportedInOneOrder(t *testing.T) {
	source := []byte(inWeb(`ports: ["3000", "4000", "5000", "6000"]`))
	_, first := blueprint.Parse(source)
	for range 50 {
		if _, again := blueprint.Parse(source); show(again) != show(first) {
			t.Fatalf("%s\n%s", show(first), show(again))
		}
	}
}
