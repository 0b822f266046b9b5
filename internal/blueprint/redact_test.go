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
		"x-note: {password: canary}", "x-base: &b {TOKEN: canary}", "environment: {DB_PWD: canary, TV_PW: canary, PGPASS: canary, dbPwd: canary, ENCRYPTION_SALT: canary, SIGN_KEY_V2: canary}", "environment: [\"DB_PWD=canary\"]",
		"environment: {DSN: \"app:canary@tcp(db:3306)/x\"}", "environment: {REPO: \"https://canary@git.example.com/x\"}", "environment: [\"URL=amqp://app:canary@mq\"]",
		"environment: {SIGNING_KEY: canary, accessAuthCode: canary}", "command: [app, --accessAuthCode=canary]", "command: app --db-pwd=canary", "command: [app, --db-pwd, canary]",
		"command: mysqladmin ping -pcanary", "command: [mysqladmin, ping, -pcanary]", "labels: {\"db.pwd\": canary}", "labels: [\"db.pwd=canary\"]",
		"environment: {JWT: \"eyJhbGciOiJI.eyJzdWIiOiJj.canary\"}", "environment: {DATABASE: \"host=db pwd=canary\"}",
		"command: nats-server --user app --pass canary", "command: app --pwd canary", "command: [sh, -c, \"app --auth canary\"]", "command: [app, --pass, *base]\n    x-base: &base canary",
		"healthcheck: {test: [CMD, redis-cli, -a, canary, ping]}", "healthcheck: {test: redis-cli -a canary ping}", "healthcheck: {test: [CMD-SHELL, \"/usr/bin/curl -fsu admin:x -u admin:canary http://localhost\"]}",
		"healthcheck: {test: [CMD, curl, -u, \"admin:canary\", http://localhost]}", "healthcheck: {test: curl --user admin:canary http://localhost}", "command: mongosh -u root -p canary", "command: [sshpass, -p, canary, ssh]",
		"command: sshpass -pcanary ssh x", "command: [sshpass, -pcanary, ssh]", "command: mongosh -u root -pcanary", "command: curl -uadmin:canary http://localhost", "command: [curl, -fsuadmin:canary, http://localhost]",
		"command: curl -fsu admin:canary http://localhost", "command: [curl, -fsu, \"admin:canary\", http://localhost]", "healthcheck: {test: [CMD-SHELL, \"sh -c 'redis-cli -a canary ping'\"]}", "healthcheck: {test: [CMD-SHELL, \"test $(redis-cli -a canary ping) = PONG\"]}",
		"environment: {REDISCLI_AUTH: canary}", "environment: {NEO4J_AUTH: neo4j/canary, BASIC_AUTH: \"admin:canary\"}", "labels: {users: \"admin:$$apr1$$x$$canary\"}", "labels: [\"users=admin:$$2y$$05$$canary\"]",
		"environment: {CONN: \"Server=db;User Id=sa;Pwd=canary;\"}", "environment: {URL: \"https://example.com/?a=b&sig=canary\"}", "environment: {URL: \"https://example.com/?key=canary\"}", "environment: {APP_PEPPER: canary}",
		"# canary in a comment", "environment: {A: b} # canary", "working_dir: /app # canary",
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

// What only has a number or a path under a telling name tells nothing.
func TestWhatOnlyDescribesASecretIsShown(t *testing.T) {
	for _, c := range []string{
		"environment: {SESSION_COOKIE_AGE: 30, SECURE_COOKIES: \"False\", SECRET_PORT: 3000, DB_PASSWORD_FILE: /run/secrets/db, TOKEN_TTL: 15m}",
		"environment: [\"ATL_TOMCAT_ACCESS_LOGS_MAXDAYS=360\", \"ACCESS_TOKEN_TTL=3600\", \"ALLOW_EMPTY_PASSWORD=yes\", \"MYSQL_PORT_3306_TCP_ADDR=mariadb\"]",
		"environment: {OPENID_AUTHORIZATION_ENDPOINT: https://id.example.com/authorize, BYPASS: x, COMPASS: north, KEYBOARD: de, PWD: /app}",
		"labels: [\"shop.limit.maxRequestBodyBytes=50000000\"]", "command: [sh, -c, \"pwd && ls -p x\"]", "command: [app, --token-ttl=3600]",
		"command: app --user app --password-file /run/secrets/db --auth true --token-ttl 15m --pass --x", "healthcheck: {test: [CMD-SHELL, \"redis-cli -a $$REDIS_PASS ping\"]}", "healthcheck: {test: \"redis-cli -a \\\"$${REDIS_PASSWORD}\\\" ping\"}",
		"healthcheck: {test: \"mongosh -p$$PASS --eval ping\"}", "command: [curl, -fsS, http://localhost]", "healthcheck: {test: curl -fsSo /dev/null http://localhost}", "command: mysqladmin -p ping",
		"healthcheck: {test: \"curl -f -u $${USER}:$${PASS} http://localhost:3000/\"}", "environment: {SMTP_AUTH: login, AUTH: none, OAUTH: https://id.example.com/auth, X_AUTH: /run/auth}", "healthcheck: {test: [CMD-SHELL, \"pg_isready -U app -p 5432 -h db\"]}",
	} {
		if got := string(blueprint.Redact([]byte(inWeb(c)))); strings.Contains(got, "hidden") {
			t.Errorf("%s is not shown:\n%s", c, got)
		}
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
