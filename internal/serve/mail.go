package serve

import (
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/notify"
)

// SMTP says how mail is sent.
type SMTP struct {
	Server       string // HOST:PORT; "" for no mail
	From         string // address
	User         string // "" for no authentication
	TLS          string // "starttls", "tls" or "none"
	Insecure     bool   // "none" may leave this machine
	Password     string // of User: this or PasswordFile
	PasswordFile string
}

// parse returns nil without a server. Neither it nor what it returns as an error
// holds the password.
func (c SMTP) parse() (*notify.MailConfig, error) {
	if c.Server == "" {
		if c.From != "" || c.User != "" {
			return nil, berth.Errorf(berth.CodeInvalidRequest, "--smtp is missing").WithField("smtp").
				WithHint("give HOST:PORT of the mail server, or leave out --smtp-from and --smtp-user")
		}
		return nil, nil
	}
	host, port, err := net.SplitHostPort(c.Server)
	number, errPort := strconv.Atoi(port)
	switch {
	case strings.Contains(c.Server, "@"): // what was given may hold a password
		return nil, berth.Errorf(berth.CodeInvalidRequest, "--smtp must be HOST:PORT, without a user or a password").WithField("smtp").
			WithHint("give --smtp-user, and the password in BERTH_SMTP_PASSWORD or BERTH_SMTP_PASSWORD_FILE")
	case err != nil || errPort != nil || host == "" || number < 1 || number > 65535 || strings.ContainsAny(host, "/ "):
		return nil, invalid("smtp", c.Server, "must be HOST:PORT", "give such as mail.example.com:587")
	case berth.CheckAddress(c.From) != nil:
		return nil, invalid("smtp-from", c.From, "must be one mail address", "give such as berth@example.com")
	case c.TLS != notify.StartTLS && c.TLS != notify.ImplicitTLS && c.TLS != notify.NoTLS:
		return nil, invalid("smtp-tls", c.TLS, "must be starttls, tls or none", "use starttls, or tls for port 465")
	case c.TLS == notify.NoTLS && !loopback(host) && !c.Insecure:
		return nil, invalid("smtp-tls", c.TLS, "must be starttls or tls: the mail server is not on this machine", "give --smtp-insecure if the network to it is yours")
	case c.TLS == notify.NoTLS && !loopback(host) && c.User != "":
		return nil, invalid("smtp-user", c.User, "needs --smtp-tls starttls or tls", "a password is never sent in clear")
	}
	password, err := c.password()
	if err != nil {
		return nil, err
	}
	return &notify.MailConfig{Host: host, Port: number, From: c.From, User: c.User, Password: password, TLS: c.TLS, Insecure: c.Insecure}, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func (c SMTP) password() (string, error) {
	const inEnv, inFile = "BERTH_SMTP_PASSWORD", "BERTH_SMTP_PASSWORD_FILE"
	bad := func(field, problem, way string) error {
		return berth.Errorf(berth.CodeInvalidRequest, "%s %s", field, problem).WithField(field).WithHint("%s", way)
	}
	password := c.Password
	switch {
	case c.Password != "" && c.PasswordFile != "":
		return "", bad(inEnv, "and "+inFile+" are both set", "unset one of them")
	case c.PasswordFile != "":
		text, err := readPassword(c.PasswordFile)
		if err != nil {
			return "", berth.Errorf(berth.CodeInvalidRequest, "%s can't be read: %w", inFile, err).WithField(inFile).
				WithHint("name a file that the user running Berth can read")
		}
		password = strings.TrimRight(text, "\r\n")
		if password == "" {
			return "", bad(inFile, "names an empty file", "write the password into it")
		}
	}
	switch {
	case password == "" && c.User != "":
		return "", bad(inEnv, "is not set, and --smtp-user is", "set "+inEnv+" or "+inFile)
	case password != "" && c.User == "":
		return "", bad(inEnv, "is set without --smtp-user", "give --smtp-user, or unset it")
	}
	return password, nil
}

func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	const most = 4 << 10
	text, err := io.ReadAll(io.LimitReader(f, most))
	return string(text), err
}
