package tenancy

import (
	"context"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var registryPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$`)

// Bounds of a credential: what registries give out is far shorter.
const (
	maxUsername = 255       // characters
	maxPassword = 16 * 1024 // bytes; keys of cloud accounts are 2 to 4 KiB of JSON
)

// operatorOnly refuses actors who are bound to an organization: what follows
// belongs to the whole installation.
func operatorOnly(actor berth.Actor) error {
	if actor.Installation() {
		return nil
	}
	return berth.Errorf(berth.CodeForbidden, "Only an operator may do this").WithHint("use an operator's token")
}

// PutCredential stores what opens a registry, encrypted.
func (s *Service) PutCredential(ctx context.Context, actor berth.Actor, c berth.Credential) error {
	if err := operatorOnly(actor); err != nil {
		return err
	}
	if !registryPattern.MatchString(c.Registry) {
		return berth.Errorf(berth.CodeInvalidRequest, "Invalid registry").WithField("registry").
			WithHint("give a host with an optional port, such as registry.example.com; %s was given", berth.Quote(c.Registry))
	}
	if n := utf8.RuneCountInString(c.Username); n > maxUsername || strings.ContainsFunc(c.Username, unicode.IsControl) {
		return berth.Errorf(berth.CodeInvalidRequest, "A username must be at most %d characters, none of them a control character", maxUsername).
			WithField("username").WithHint("%s was given, of %d characters", berth.Quote(c.Username), n)
	}
	if len(c.Password) > maxPassword {
		return berth.Errorf(berth.CodeInvalidRequest, "A password must be at most %d bytes", maxPassword).
			WithField("password").WithHint("the one given has %d; give the password or token itself", len(c.Password))
	}
	if c.Username == "" || c.Password == "" {
		return berth.Errorf(berth.CodeInvalidRequest, "A credential needs a username and a password").WithField("password").
			WithHint("give both; registries that take a token take it as the password")
	}
	sealed, err := s.Secrets.Seal([]byte(c.Password), berth.RegistryContext(c.Registry))
	if err != nil {
		return err
	}
	return s.Store.InTx(ctx, actor, func(tx store.Tx) error {
		return tx.PutCredential(ctx, store.StoredCredential{
			Registry: c.Registry, Username: c.Username, Ciphertext: sealed, UpdatedAt: s.Now(),
		})
	})
}

// Credentials lists the registries that Berth can open. Passwords are never
// shown.
func (s *Service) Credentials(ctx context.Context, actor berth.Actor) (list []store.StoredCredential, err error) {
	if err := operatorOnly(actor); err != nil {
		return nil, err
	}
	err = s.Store.View(ctx, actor, func(tx store.Tx) error {
		list, _, err = tx.ListCredentials(ctx, store.Page{Limit: store.Unbounded})
		return err
	})
	return list, err
}

// DeleteCredential forgets a registry's credential.
func (s *Service) DeleteCredential(ctx context.Context, actor berth.Actor, registry string) error {
	if err := operatorOnly(actor); err != nil {
		return err
	}
	return s.Store.InTx(ctx, actor, func(tx store.Tx) error { return tx.DeleteCredential(ctx, registry) })
}

// Backup writes a consistent copy of the database to path, which must not
// exist. The key that opens its secrets is not in it.
func (s *Service) Backup(ctx context.Context, actor berth.Actor, path string) error {
	if err := operatorOnly(actor); err != nil {
		return err
	}
	return s.Store.Backup(ctx, path)
}
