package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/internal/serve"
)

func (a *app) serveCommand() *cobra.Command {
	c := serve.Default()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the control plane, the API and the edge",
		Long: `Run the control plane, the API and the edge in one process.

Each flag can be given as an environment variable instead, named in brackets.
Prints "ready URL" when it takes requests. On SIGTERM it drains and exits 0;
tenants' containers run on.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	text := func(to *string, flag, env, usage string) {
		f.StringVar(to, flag, *to, usage+" ("+env+")")
		if v := a.Getenv(env); v != "" {
			*to = v // not as the flag's default: --help shows that, and a URL can hold a password
		}
	}
	text(&c.Listen, "listen", "BERTH_LISTEN", "address of the API; port 0 takes a free one")
	text(&c.DatabaseURL, "database-url", "BERTH_DATABASE_URL", "sqlite: for a file in the state directory, sqlite:PATH, or postgres://…; put one with a password into the variable, not the flag")
	text(&c.Engine, "engine", "BERTH_ENGINE", "docker; DOCKER_HOST says which")
	text(&c.Ports, "ports", "BERTH_PORTS", "range of tenants' external ports")
	text(&c.TenantListen, "tenant-listen", "BERTH_TENANT_LISTEN", "address that external ports listen on")
	text(&c.PublicHost, "public-host", "BERTH_PUBLIC_HOST", "host name in tenants' URLs")
	text(&c.Blueprint, "blueprint", "BERTH_BLUEPRINT", "what a tenant gets that asks for none: a compose file, applied at the start, or the name of one that was")
	text(&c.Pool, "pool", "BERTH_POOL", "IPv4 prefix that tenants' subnets are taken from")
	text(&c.NotifyAllow, "notify-allow", "BERTH_NOTIFY_ALLOW", "prefixes inside that notifications may go to, separated by commas")
	f.BoolVar(&c.NotifyHTTP, "notify-http", a.Getenv("BERTH_NOTIFY_HTTP") == "true", "let notifications go to http:// too (BERTH_NOTIFY_HTTP=true)")
	a.mailFlags(cmd, text, &c.SMTP)
	a.signInFlags(cmd, text, &c.SignIn)
	a.keyFlags(cmd, &c.Keys)
	text(&c.LogFormat, "log-format", "BERTH_LOG_FORMAT", "text or json")
	text(&c.LogLevel, "log-level", "BERTH_LOG_LEVEL", "debug, info, warn or error")
	var envErrs []error
	duration := func(to *time.Duration, flag, env, usage string) {
		d := durationFlag{to}
		envErrs = append(envErrs, d.fromEnv(a.Getenv(env), env))
		f.Var(d, flag, usage+" ("+env+")")
	}
	duration(&c.Patience, "deploy-deadline", "BERTH_DEPLOY_DEADLINE", "how long a started tenant has to answer its health check")
	duration(&c.Observe, "observe", "BERTH_OBSERVE", "how long a new version must be well before traffic moves to it")
	duration(&c.TransitionDrain, "deploy-drain", "BERTH_DEPLOY_DRAIN", "how long requests and connections with an earlier version may take, once traffic has moved")
	duration(&c.Hold, "hold", "BERTH_HOLD", "how long a request may wait while what it needs is stopped and replaced")
	duration(&c.Drain, "drain", "BERTH_DRAIN", "how long requests under way may take after SIGTERM")
	number := func(to *int, flag, env, usage string) {
		if v := a.Getenv(env); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				envErrs = append(envErrs, usagef("%s must be a whole number; %q was given", env, v))
			}
			*to = n
		}
		f.IntVar(to, flag, *to, usage+" ("+env+")")
	}
	keepFlags(&c, duration, number)
	number(&c.RateLimits.Requests, "rate-limit", "BERTH_RATE_LIMIT", "requests a second that one token or person of an organization may make; 0 for no limit")
	number(&c.RateLimits.Changes, "rate-limit-changes", "BERTH_RATE_LIMIT_CHANGES", "of those, what changes something")
	number(&c.RateLimits.Operator, "rate-limit-operator", "BERTH_RATE_LIMIT_OPERATOR", "the same for operators, of any kind")
	number(&c.EdgeLimits.Connections, "tenant-connections", "BERTH_TENANT_CONNECTIONS", "connections that the clients of one tenant may have open")
	number(&c.EdgeLimits.PerClient, "client-connections", "BERTH_CLIENT_CONNECTIONS", "of those, the ones of one client's address; behind a trusted proxy, its requests under way")
	number(&c.EdgeLimits.PerClientInAll, "client-connections-in-all", "BERTH_CLIENT_CONNECTIONS_IN_ALL", "the same for all tenants together; 0 for four times that")
	number(&c.EdgeLimits.Memory, "edge-memory", "BERTH_EDGE_MEMORY", "MiB that requests to all tenants may hold while they are under way, one tenant's a quarter; 0 for 512, or an eighth of the memory there is")
	number(&c.EdgeLimits.MinBodyRate, "min-body-rate", "BERTH_MIN_BODY_RATE", "bytes a second at which the body of a request to a tenant must come")
	envErr := firstError(envErrs...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if envErr != nil {
			return envErr
		}
		c.StateDir = a.stateDir
		c.Version, _, _ = versionText()
		return a.Serve(cmd.Context(), c, a.Stdout, a.Stderr)
	}
	return cmd
}

// mailFlags are about the server that takes mail.
func (a *app) mailFlags(cmd *cobra.Command, text func(to *string, flag, env, usage string), c *serve.SMTP) {
	text(&c.Server, "smtp", "BERTH_SMTP", "HOST:PORT of the server that takes mail; without it there is no mail")
	text(&c.From, "smtp-from", "BERTH_SMTP_FROM", "address that mail comes from")
	text(&c.User, "smtp-user", "BERTH_SMTP_USER", "user at the mail server; the password is in BERTH_SMTP_PASSWORD, or in the file that BERTH_SMTP_PASSWORD_FILE names")
	text(&c.TLS, "smtp-tls", "BERTH_SMTP_TLS", "starttls, tls, or none to a mail server on this machine")
	cmd.Flags().BoolVar(&c.Insecure, "smtp-insecure", a.Getenv("BERTH_SMTP_INSECURE") == "true", "let --smtp-tls none leave this machine, without a password (BERTH_SMTP_INSECURE=true)")
	c.Password, c.PasswordFile = a.Getenv("BERTH_SMTP_PASSWORD"), a.Getenv("BERTH_SMTP_PASSWORD_FILE")
}

// signInFlags are about who may come in beside tokens. text defines a flag that
// a variable can set.
func (a *app) signInFlags(cmd *cobra.Command, text func(to *string, flag, env, usage string), c *serve.SignIn) {
	text(&c.PublicURL, "public-url", "BERTH_PUBLIC_URL", "URL of the API as browsers reach it; needed with --oidc-issuer")
	text(&c.OIDCIssuer, "oidc-issuer", "BERTH_OIDC_ISSUER", "OpenID Connect provider that people sign in at")
	text(&c.OIDCClientID, "oidc-client-id", "BERTH_OIDC_CLIENT_ID", "Berth's id at the provider; its secret is in BERTH_OIDC_CLIENT_SECRET, or in the file that BERTH_OIDC_CLIENT_SECRET_FILE names")
	cmd.Flags().BoolVar(&c.OIDCSignup, "oidc-allow-signup", a.Getenv("BERTH_OIDC_ALLOW_SIGNUP") == "true", "let in whoever proves an address to the provider, invited or not (BERTH_OIDC_ALLOW_SIGNUP=true)")
	text(&c.JWTIssuer, "jwt-issuer", "BERTH_JWT_ISSUER", "iss of the JSON Web Tokens that are taken, such as Supabase's")
	text(&c.JWKSURL, "jwks-url", "BERTH_JWKS_URL", "where the keys of those tokens are; the secret of HS256 is in BERTH_SUPABASE_JWT_SECRET, or in the file that BERTH_SUPABASE_JWT_SECRET_FILE names")
	cmd.Flags().BoolVar(&c.JWTConfirmed, "jwt-emails-confirmed", a.Getenv("BERTH_JWT_EMAILS_CONFIRMED") == "true", "the issuer signs nobody in before they proved their address (BERTH_JWT_EMAILS_CONFIRMED=true)")
	text(&c.TrustedProxies, "trusted-proxies", "BERTH_TRUSTED_PROXIES", "prefixes of the proxies in front of the API and of tenants, separated by commas; their X-Forwarded-For is believed")
	c.OIDCSecret, c.OIDCSecretFile = a.Getenv("BERTH_OIDC_CLIENT_SECRET"), a.Getenv("BERTH_OIDC_CLIENT_SECRET_FILE")
	c.JWTSecret, c.JWTSecretFile = a.Getenv("BERTH_SUPABASE_JWT_SECRET"), a.Getenv("BERTH_SUPABASE_JWT_SECRET_FILE")
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// envFlags are the flags of commands that set environment variables.
type envFlags struct {
	vars []string
	file string
}

func (e *envFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&e.vars, "env", nil, "NAME=VALUE, or NAME to take it from this environment; repeatable")
	cmd.Flags().StringVar(&e.file, "env-file", "", "file of NAME=VALUE lines; # begins a comment line, nothing is interpolated")
}

// cutPair splits NAME=VALUE.
func cutPair(s string) (name, value string, ok bool) { return strings.Cut(s, "=") }

// keepFlags are how long and how much is kept.
func keepFlags(c *serve.Config, duration func(to *time.Duration, flag, env, usage string), number func(to *int, flag, env, usage string)) {
	duration(&c.KeepChecks, "keep-checks", "BERTH_KEEP_CHECKS", "how long single health checks are kept")
	duration(&c.KeepMinutes, "keep-minutes", "BERTH_KEEP_MINUTES", "how long usage by minute is kept")
	duration(&c.KeepHours, "keep-hours", "BERTH_KEEP_HOURS", "how long usage and health by hour are kept, and events")
	duration(&c.KeepDays, "keep-days", "BERTH_KEEP_DAYS", "how long usage and health by day are kept")
	duration(&c.KeepRemoved, "keep-removed", "BERTH_KEEP_REMOVED", "how long what was recorded of a tenant is kept after its deprovision; 0 for ever")
	duration(&c.KeepAccess, "keep-access", "BERTH_KEEP_ACCESS", "how long sessions, invitations and tokens are kept after their end; 0 for ever")
	number(&c.KeepDeployments, "keep-deployments", "BERTH_KEEP_DEPLOYMENTS", "how many deployments of each organization are kept; 0 for all")
}
