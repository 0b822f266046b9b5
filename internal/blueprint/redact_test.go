package blueprint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/blueprint"
)

func TestLiteralsThatLookSecretAreNotShownToThoseWhoUseABlueprint(t *testing.T) {
	for _, c := range []string{
		"environment: {DB_PASSWORD: canary}", "environment: [\"DB_PASSWORD=canary\"]", "environment: {db_password: canary}", "environment: {PGPASS: x, SMTP_PASS: canary}",
		"environment: {DB_PASSWORD: \"${DB_PASSWORD:-canary}\"}", "environment: {STRIPE_KEY: \"${A}canary\"}", "environment: {PIN_TOKEN: 90210canary}",
		"environment: {URL: \"postgres://app:canary@db/x\"}", "environment: {URL: \"redis://:canary@cache\"}",
		"environment: {HEADER: \"Bearer canary-of-the-api\"}", "environment: {PEM: \"-----BEGIN PRIVATE canary\"}", "environment: {X: sk_live_canary}",
		"environment: {X: ghp_canarycanarycanarycanary12345}", "environment: {X: \"canaryA1b2C3d4E5f6G7h8I9j0K1\"}",
		"command: [redis-server, --requirepass, canary]", "command: redis-server --requirepass canary", "command: [app, --admin-password=canary]", "command: [app, -pass, canary]",
		"entrypoint: [sh, -c, \"PASSWORD=canary exec app\"]", "labels: {api-key: canary}", "labels: [\"auth.token=canary\"]",
		"x-note: {password: canary}", "x-base: &b {TOKEN: canary}", "# canary in a comment", "environment: {A: b} # canary", "working_dir: /app # canary",
		"environment:\n      DB_PASSWORD: |\n        canary\n        canary",
	} {
		if got := string(blueprint.Redact([]byte(inWeb(c)))); strings.Contains(got, "canary") {
			t.Errorf("%s is shown:\n%s", c, got)
		}
	}
	if got := string(blueprint.Redact([]byte("\tcanary: [no yaml"))); strings.Contains(got, "canary") {
		t.Errorf("what can't be read is shown: %s", got)
	}
}

func TestWhatIsNotSecretIsShown(t *testing.T) {
	pin := "image: shop@sha256:" + strings.Repeat("a1b2c3d4", 8)
	source := fmt.Sprintf(minimal, "    "+pin+"\n    environment: {NODE_ENV: production, DB_PASSWORD: \"${DB_PASSWORD}\", LOG_LEVEL: info, PUBLIC_NAME: \"the quick brown fox and what it jumps over\"}\n    command: [serve, --port, \"3000\"]", ", environment: {JWT_SECRET: {secret: true}}")
	source = strings.Replace(source, "    image: shop:1\n", "", 1)
	got := string(blueprint.Redact([]byte(source)))
	if strings.Contains(got, "hidden") {
		t.Error(got)
	}
	for _, want := range []string{"production", "${DB_PASSWORD}", "sha256:", "quick brown", "JWT_SECRET"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not shown:\n%s", want, got)
		}
	}
	if got := string(blueprint.Redact(blueprint.BuiltinSource())); strings.Contains(got, "hidden") {
		t.Errorf("the built-in blueprint:\n%s", got)
	}
}
