package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// How the connection to a mail server is encrypted.
const (
	StartTLS    = "starttls" // begun in clear, encrypted before anything is said; refused if the server can't
	ImplicitTLS = "tls"      // encrypted from the first byte
	NoTLS       = "none"
)

// MailConfig is the mail server that takes all mail.
type MailConfig struct {
	Host     string // its certificate is checked against it
	Port     int
	From     string // bare address
	User     string // "" for no authentication
	Password string
	TLS      string // StartTLS, ImplicitTLS or NoTLS
	Insecure bool   // NoTLS goes beyond this machine too

	Roots *x509.CertPool // nil for the system's
}

// Mail sends by SMTP.
type Mail struct {
	config MailConfig
	tls    *tls.Config
}

// NewMail returns a Mail.
func NewMail(c MailConfig) *Mail {
	return &Mail{config: c, tls: &tls.Config{ServerName: c.Host, RootCAs: c.Roots, MinVersion: tls.VersionTLS12}}
}

// Send implements Sender. Whatever the server does, it returns when ctx ends.
func (m *Mail) Send(ctx context.Context, c store.StoredChannel, d berth.Delivery) Attempt {
	message, err := m.message(c, d)
	if err != nil {
		return Attempt{Err: err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := m.client(func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := m.dial(dialing, network, address)
		if err != nil {
			return nil, err
		}
		// The library has time limits of its own and forgets ctx once it is
		// connected. A closed connection answers every call.
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		return m.encrypt(dialing, conn)
	})
	if err != nil {
		return Attempt{Err: errors.New("the mail server can't be used")}
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return m.refusal(ctx, err)
	}
	err = client.SendWithSMTPClient(session, message)
	if err != nil && !message.IsDelivered() {
		return m.refusal(ctx, err)
	}
	_ = session.Quit() // the message was taken; how the connection ends changes nothing
	return Attempt{StatusCode: taken}
}

// taken is what a server answers to a message that it will deliver.
const taken = 250

func (m *Mail) client(dial mail.DialContextFunc) (*mail.Client, error) {
	options := []mail.Option{
		mail.WithPort(m.config.Port), mail.WithTimeout(deadline), mail.WithTLSConfig(m.tls), mail.WithoutNoop(), mail.WithDialContextFunc(dial),
	}
	switch m.config.TLS {
	case NoTLS:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	case ImplicitTLS:
		options = append(options, mail.WithSSL())
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.config.User != "" {
		// PLAIN and LOGIN refuse a connection that is neither encrypted nor local.
		options = append(options, mail.WithUsername(m.config.User), mail.WithPassword(m.config.Password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5))
	}
	return mail.NewClient(m.config.Host, options...)
}

// mostSaid is how much of what a mail server says is read in one attempt.
const mostSaid = 256 << 10

// capped is a connection that ends when the other side said too much.
type capped struct {
	net.Conn
	left int
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the mail server says too much")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (m *Mail) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if m.config.TLS == NoTLS && !m.config.Insecure && !local(conn.RemoteAddr()) {
		_ = conn.Close()
		return nil, errors.New("the mail server is not on this machine, and mail to it would be in clear")
	}
	return &capped{Conn: conn, left: mostSaid}, nil
}

func local(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

func (m *Mail) encrypt(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if m.config.TLS != ImplicitTLS {
		return conn, nil
	}
	encrypted := tls.Client(conn, m.tls)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return encrypted, nil
}

// refusal says what an error means. Its text names no password, though a
// server may repeat what it was sent.
func (m *Mail) refusal(ctx context.Context, err error) Attempt {
	if ctx.Err() != nil {
		return Attempt{Err: fmt.Errorf("the mail server did not take the message in time: %w", ctx.Err())}
	}
	var failed *mail.SendError
	if errors.As(err, &failed) {
		a := Attempt{StatusCode: failed.ErrorCode(), Gone: gone(failed), Err: errors.New(m.clean(failed.Error()))}
		if a.Gone {
			a.Err = fmt.Errorf("the mail server says that there is no such recipient: %w", a.Err)
		}
		return a
	}
	var answered *textproto.Error
	if !errors.As(err, &answered) {
		return Attempt{Err: errors.New(m.clean(strings.ReplaceAll(err.Error(), m.config.Host, "the mail server")))}
	}
	if strings.HasPrefix(err.Error(), "SMTP AUTH failed") {
		return Attempt{StatusCode: answered.Code, Err: fmt.Errorf("the mail server refused the user or the password (%d)", answered.Code)}
	}
	return Attempt{StatusCode: answered.Code, Err: errors.New(m.clean(answered.Error()))}
}

// gone reports whether an answer is about the recipient, and for good. What a
// server has against Berth (5.7.1: it does not relay) ends no channel.
func gone(e *mail.SendError) bool {
	if e.Reason != mail.ErrSMTPRcptTo && e.Reason != mail.ErrSMTPDataClose {
		return false
	}
	if enhanced := e.EnhancedStatusCode(); enhanced != "" {
		return slices.Contains([]string{"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}, enhanced)
	}
	return e.Reason == mail.ErrSMTPRcptTo && slices.Contains([]int{550, 551, 553}, e.ErrorCode())
}

// clean is what a server said, on one line and without the password.
func (m *Mail) clean(text string) string {
	if p := m.config.Password; p != "" {
		for _, form := range []string{p, encode(p), encode("\x00" + m.config.User + "\x00" + p)} {
			if strings.Contains(text, form) {
				return "the mail server repeated the password instead of giving a reason"
			}
		}
	}
	return oneLine(text)
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
