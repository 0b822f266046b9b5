// Package serve wires the parts of one Berth process together: database,
// engine, edge, loop and API. It decides nothing else.
package serve

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/notify"
	"github.com/unite-hub/berth/internal/secret"
)

// Config is everything an operator can decide about a Berth process. Default
// returns the defaults.
type Config struct {
	StateDir        string        // database, keys, operator token, rendered files; made 0700
	Listen          string        // address of the API; port 0 takes a free one
	DatabaseURL     string        // "sqlite:" for berth.db in the state directory, "sqlite:PATH" for another file, "postgres://…"
	Engine          string        // "docker"; DOCKER_HOST says which
	Ports           string        // FIRST-LAST, the range that tenants' external ports are taken from
	TenantListen    string        // address that external ports listen on
	PublicHost      string        // host name in tenants' URLs
	Blueprint       string        // what a tenant gets that asks for none: a file to apply, or a name
	Pool            string        // IPv4 prefix that tenants' subnets are taken from
	Patience        time.Duration // how long a started tenant has to answer its health check
	Observe         time.Duration // how long a new version must be well before traffic moves to it
	TransitionDrain time.Duration // how long requests with an earlier version may take, once traffic has moved
	Hold            time.Duration // how long a request may wait while its tenant is replaced
	Drain           time.Duration // how long requests under way may take after SIGTERM
	KeepChecks      time.Duration // how long single health checks are kept; longer ones are sums
	KeepMinutes     time.Duration // how long usage by minute is kept
	KeepHours       time.Duration // the same by hour, of health too; and events
	KeepDays        time.Duration // the same by day, of health too
	KeepDeployments int           // how many deployments of each organization are kept; 0: all
	KeepRemoved     time.Duration // how long what was recorded of a tenant is kept after its deprovision; 0: for ever
	KeepAccess      time.Duration // the same of sessions, invitations and tokens after their end
	LogFormat       string        // "text" or "json"
	LogLevel        string        // "debug", "info", "warn" or "error"
	NotifyAllow     string        // prefixes inside that notifications may go to, separated by commas
	NotifyHTTP      bool          // notifications may go to http:// too
	SMTP            SMTP
	SignIn          SignIn
	Keys            Keys
	RateLimits      RateLimits
	EdgeLimits      EdgeLimits
	Version         string
}

// Default returns the defaults.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:3008", DatabaseURL: "sqlite:", Engine: "docker", Ports: "3001-32767",
		TenantListen: "0.0.0.0", PublicHost: "localhost", Blueprint: berth.BuiltinBlueprint, Pool: berth.DefaultPool().String(),
		KeepChecks: 24 * time.Hour, KeepMinutes: 48 * time.Hour, KeepHours: 90 * 24 * time.Hour, KeepDays: 3 * 365 * 24 * time.Hour,
		KeepDeployments: 100, KeepRemoved: 3 * 365 * 24 * time.Hour, KeepAccess: 30 * 24 * time.Hour,
		SMTP: SMTP{TLS: notify.StartTLS}, RateLimits: DefaultRateLimits(), EdgeLimits: DefaultEdgeLimits(),
		Patience: time.Minute, Observe: 3 * time.Second, TransitionDrain: 30 * time.Second, Hold: 30 * time.Second, Drain: 25 * time.Second, LogFormat: "text", LogLevel: "info",
	}
}

// wellKnownPort is the control plane's own by contract: no tenant ever gets it.
const wellKnownPort = 3008

// parsed is a Config that was checked.
type parsed struct {
	Config
	first, last int
	pool        netip.Prefix
	database    string // file
	query       string // of the database's URL

	notifyAllow []netip.Prefix
	mail        *notify.MailConfig // nil: there is no mail
	signIn      signIn
	kms         secret.KMS
	limits      api.Limits

	blueprintName   string
	blueprintSource []byte // nil if Blueprint is a name
}

func (c Config) parse() (parsed, error) {
	p := parsed{Config: c}
	var err error
	if p.first, p.last, err = parsePorts(c.Ports); err != nil {
		return p, err
	}
	if p.pool, err = parsePool(c.Pool); err != nil {
		return p, err
	}
	if p.notifyAllow, err = parsePrefixes("notify-allow", c.NotifyAllow); err != nil {
		return p, err
	}
	if p.mail, err = c.SMTP.parse(); err != nil {
		return p, err
	}
	if p.signIn, err = c.SignIn.parse(); err != nil {
		return p, err
	}
	if p.kms, err = c.Keys.kms(); err != nil {
		return p, err
	}
	if err := c.EdgeLimits.check(); err != nil {
		return p, err
	}
	if err := c.checkKept(); err != nil {
		return p, err
	}
	if p.limits, err = c.RateLimits.parse(); err != nil {
		return p, err
	}
	if p.database, p.query, err = parseDatabase(c); err != nil {
		return p, err
	}
	switch {
	case c.StateDir == "":
		return p, invalid("state-dir", c.StateDir, "must be a directory", "give one that only you can read, such as /var/lib/berth")
	case c.Engine == "kubernetes":
		return p, invalid("engine", c.Engine, "is not supported yet", "use docker")
	case c.Engine != "docker":
		return p, invalid("engine", c.Engine, "must be docker", "leave it out")
	case net.ParseIP(c.TenantListen) == nil:
		return p, invalid("tenant-listen", c.TenantListen, "must be an IP address", "use 0.0.0.0 for all, or 127.0.0.1 for this machine only")
	case c.PublicHost == "" || strings.ContainsAny(c.PublicHost, "/:@ `"):
		return p, invalid("public-host", c.PublicHost, "must be a host name", "give the name or IPv4 address under which customers reach this machine, without http:// and port")
	case c.Patience <= 0:
		return p, invalid("deploy-deadline", c.Patience.String(), "must be above 0", "give a duration such as 60s")
	case c.Observe < 0:
		return p, invalid("observe", c.Observe.String(), "must not be below 0", "give a duration such as 3s; 0 moves traffic at the first healthy answer")
	case c.TransitionDrain <= 0:
		return p, invalid("deploy-drain", c.TransitionDrain.String(), "must be above 0", "give a duration such as 30s")
	case c.Hold <= 0:
		return p, invalid("hold", c.Hold.String(), "must be above 0", "give a duration such as 30s")
	case c.Drain < 0:
		return p, invalid("drain", c.Drain.String(), "must not be below 0", "give a duration such as 25s")
	}
	if p.blueprintName, p.blueprintSource, err = readBlueprint(c.Blueprint); err != nil {
		return p, err
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return p, invalid("listen", c.Listen, "must be HOST:PORT", "use 127.0.0.1:3008")
	}
	return p, nil
}

// readBlueprint reads the file that value names. What looks like a name and is
// no file is a name.
func readBlueprint(value string) (name string, source []byte, err error) {
	source, err = os.ReadFile(value)
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(value, "/.") {
		_, _, err := berth.ParseBlueprintID(value)
		return value, nil, err
	}
	if err != nil {
		return "", nil, berth.Errorf(berth.CodeInvalidRequest, "--blueprint can't be read: %w", err).WithField("blueprint").
			WithHint("give a compose file with an x-berth section, or the name of a blueprint that was applied")
	}
	if name, err = blueprint.Examine(source); name != "" {
		return name, source, nil // a rule that came since it was applied is ApplyBlueprint's business
	}
	return "", nil, err
}

func parsePorts(s string) (first, last int, err error) {
	a, b, ok := strings.Cut(s, "-")
	first, errA := strconv.Atoi(a)
	last, errB := strconv.Atoi(b)
	if !ok || errA != nil || errB != nil || first < 1 || last > 65535 || first > last {
		return 0, 0, invalid("ports", s, "must be FIRST-LAST within 1-65535", "use 3001-32767: higher ports clash with outgoing connections")
	}
	return first, last, nil
}

func parsePool(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() || !p.Addr().IsPrivate() || p.Bits() > berth.SubnetBits || p != p.Masked() {
		return netip.Prefix{}, invalid("pool", s, "must be a private IPv4 prefix of /28 or wider", "use 10.64.0.0/12, or another range that nothing else in your network uses")
	}
	return p, nil
}

func parseDatabase(c Config) (path, query string, err error) {
	if isPostgres(c.DatabaseURL) {
		return "", "", nil
	}
	rest, ok := strings.CutPrefix(c.DatabaseURL, "sqlite:")
	if !ok { // what was given may hold a password
		scheme, _, _ := strings.Cut(c.DatabaseURL, ":")
		return "", "", invalid("database-url", scheme+":…", "must begin with sqlite: or postgres://", "leave it out for a file in the state directory, or give such as postgres://berth@localhost/berth")
	}
	path, query, _ = strings.Cut(rest, "?")
	if path == "" {
		path = c.StateDir + "/berth.db"
	}
	return path, query, nil
}

func invalid(flag, value, rule, way string) error {
	return berth.Errorf(berth.CodeInvalidRequest, "--%s %s", flag, rule).WithField(flag).
		WithHint("%s was given; %s", berth.Quote(value), way)
}
