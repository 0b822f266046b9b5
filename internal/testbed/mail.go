package testbed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Message is a message that a mail server took.
type Message struct {
	User      string // who logged in; "" for nobody
	Encrypted bool
	From      string
	To        []string
	Text      []byte // headers and body, as they came
}

// Post is a mail server on 127.0.0.1 that keeps what it takes. Its fields are
// set before Start.
type Post struct {
	User, Password string                     // "" takes mail from everyone
	Clear          bool                       // it can't encrypt
	Implicit       bool                       // encrypted from the first byte
	Auth           func() error               // in place of the check of User and Password
	Rcpt           func(to string) error      // nil takes every recipient
	Data           func(message []byte) error // nil takes every message

	Port  int
	Roots *x509.CertPool // what its certificate is to be checked with

	server   *smtp.Server
	ended    chan struct{}
	mu       sync.Mutex
	messages []Message
}

// Start serves until Close.
func (p *Post) Start() error {
	p.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{post: p, conn: c}, nil }))
	p.server.Domain, p.server.AllowInsecureAuth = "post.test", true
	p.server.ErrorLog = log.New(io.Discard, "", 0) // connections that tests break off
	cert, roots, err := certificate()
	if err != nil {
		return err
	}
	p.Roots = roots
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.Port = l.Addr().(*net.TCPAddr).Port
	switch {
	case p.Implicit:
		l = tls.NewListener(l, config)
	case !p.Clear:
		p.server.TLSConfig = config
	}
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		_ = p.server.Serve(l)
	}()
	return nil
}

// Close ends all connections.
func (p *Post) Close() error {
	err := p.server.Close()
	<-p.ended
	return err
}

// Messages returns what was taken so far.
func (p *Post) Messages() []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Message(nil), p.messages...)
}

type session struct {
	post    *Post
	conn    *smtp.Conn
	message Message
	user    string
}

func (s *session) AuthMechanisms() []string {
	if s.post.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if s.post.Auth != nil {
			return s.post.Auth()
		}
		if user != s.post.User || password != s.post.Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.user != s.post.User {
		return smtp.ErrAuthRequired
	}
	_, encrypted := s.conn.TLSConnectionState()
	s.message = Message{User: s.user, Encrypted: encrypted, From: from}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.post.Rcpt != nil {
		if err := s.post.Rcpt(to); err != nil {
			return err
		}
	}
	s.message.To = append(s.message.To, to)
	return nil
}

func (s *session) Data(r io.Reader) (err error) {
	if s.message.Text, err = io.ReadAll(r); err != nil {
		return err
	}
	if s.post.Data != nil {
		if err := s.post.Data(s.message.Text); err != nil {
			return err
		}
	}
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	s.post.messages = append(s.post.messages, s.message)
	return nil
}

func (s *session) Reset()        { s.message = Message{} }
func (s *session) Logout() error { return nil }

// certificate is for 127.0.0.1, from an authority that nobody else knows.
func certificate() (cert tls.Certificate, roots *x509.CertPool, err error) {
	now := time.Now()
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	}
	ca, leaf := template(1, "a test's authority"), template(2, "post.test")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf.IPAddresses, leaf.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return cert, nil, err
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		return cert, nil, err
	}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey); err != nil {
		return cert, nil, err
	}
	roots = x509.NewCertPool()
	roots.AddCert(ca)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots, nil
}
