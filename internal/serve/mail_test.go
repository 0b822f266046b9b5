package serve

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/notify"
)

func TestAMailServerIsReadFromFlagsAndItsPasswordFromAFile(t *testing.T) {
	if got, err := Default().SMTP.parse(); got != nil || err != nil {
		t.Errorf("without a server: %+v, %v", got, err)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(" s3cret \r\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	in := SMTP{Server: "mail.example.com:587", From: "berth@example.com", User: "berth", TLS: "starttls", PasswordFile: file}
	want := notify.MailConfig{Host: "mail.example.com", Port: 587, From: "berth@example.com", User: "berth", Password: " s3cret ", TLS: notify.StartTLS}
	if got, err := in.parse(); err != nil || *got != want {
		t.Errorf("%+v, %v", got, err)
	}
	in.PasswordFile, in.Password = "", " s3cret "
	if got, err := in.parse(); err != nil || *got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, server := range []string{"localhost:25", "127.0.0.1:25", "127.3.2.1:25", "[::1]:25"} {
		if got, err := (SMTP{Server: server, From: "berth@localhost", TLS: "none", User: "u", Password: "p"}).parse(); err != nil || got.TLS != notify.NoTLS || got.Insecure {
			t.Errorf("%s: %+v, %v", server, got, err)
		}
	}
	relay := SMTP{Server: "relay.internal:25", From: "berth@example.com", TLS: "none", Insecure: true}
	if got, err := relay.parse(); err != nil || !got.Insecure {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestABadMailServerIsNamedWithAWayOutAndWithoutThePassword(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*SMTP){
		"smtp":                       func(c *SMTP) { c.Server = "mail.example.com" },
		"smtp ":                      func(c *SMTP) { c.Server = "smtp://u:pw@mail.example.com:587" },
		"smtp  ":                     func(c *SMTP) { c.Server = "mail.example.com:0" },
		"smtp   ":                    func(c *SMTP) { c.Server = "" },
		"smtp    ":                   func(c *SMTP) { c.Server = ":25" },
		"smtp-from":                  func(c *SMTP) { c.From = "" },
		"smtp-from ":                 func(c *SMTP) { c.From = "Berth <berth@example.com>" },
		"smtp-from  ":                func(c *SMTP) { c.From = "berth@example.com\r\nBcc: x@example.com" },
		"smtp-tls":                   func(c *SMTP) { c.TLS = "opportunistic" },
		"smtp-tls ":                  func(c *SMTP) { c.TLS = "none" },
		"smtp-tls  ":                 func(c *SMTP) { c.TLS, c.Server = "none", "localhost.example.com:25" },
		"smtp-user":                  func(c *SMTP) { c.TLS, c.Insecure = "none", true },
		"BERTH_SMTP_PASSWORD":        func(c *SMTP) { c.PasswordFile = "/somewhere" },
		"BERTH_SMTP_PASSWORD ":       func(c *SMTP) { c.Password = "" },
		"BERTH_SMTP_PASSWORD  ":      func(c *SMTP) { c.User = "" },
		"BERTH_SMTP_PASSWORD_FILE":   func(c *SMTP) { c.Password, c.PasswordFile = "", empty },
		"BERTH_SMTP_PASSWORD_FILE ":  func(c *SMTP) { c.Password, c.PasswordFile = "", empty+"/none" },
		"BERTH_SMTP_PASSWORD_FILE  ": func(c *SMTP) { c.Password, c.PasswordFile = "", filepath.Dir(empty) },
	} {
		c := SMTP{Server: "mail.example.com:587", From: "berth@example.com", User: "berth", TLS: "starttls", Password: "s3cret"}
		change(&c)
		_, err := c.parse()
		var e *berth.Error
		if !errors.As(err, &e) || e.Field != strings.TrimSpace(what) || e.Hint == "" {
			t.Errorf("%q: %v", what, err)
			continue
		}
		if strings.Contains(e.Error()+e.Hint, "s3cret") || strings.Contains(e.Message+e.Hint, "pw@") {
			t.Errorf("%q: the password is in %q, %q", what, e.Error(), e.Hint)
		}
	}
}
