package tenancy

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/pattern"
	"github.com/unite-hub/berth/internal/store"
)

var registryPattern = pattern.Of(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$`)

// Bounds of a credential: what registries give out is far shorter.
const (
	maxUsername = 255       // characters
	maxPassword = 16 * 1024 // bytes; keys of cloud accounts are 2 to 4 KiB of JSON
)

// PutCredential stores what opens a registry, encrypted.
func (s *Service) PutCredential(ctx context.Context, actor berth.Actor, c berth.Credential) error {
	if err := authoriseInstallation(actor, action.PutRegistry); err != nil {
		return err
	}
	if !registryPattern().MatchString(c.Registry) {
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
	sealed, err := s.secrets.Seal([]byte(c.Password), berth.RegistryContext(c.Registry))
	if err != nil {
		return err
	}
	return s.store.InTx(ctx, actor, func(tx store.Tx) error {
		old, replaced, err := tx.Credential(ctx, c.Registry)
		if err != nil {
			return err
		}
		err = tx.PutCredential(ctx, store.StoredCredential{
			Registry: c.Registry, Username: c.Username, Ciphertext: sealed, UpdatedAt: s.now(),
		})
		if err != nil {
			return err
		}
		put := action.Change{At: s.now(), Target: c.Registry, After: credentialEntry{c.Username, markSet}}
		if replaced {
			put.Before, put.After = credentialEntry{old.Username, markSet}, credentialEntry{c.Username, markChanged}
		}
		return action.PutRegistry.Record(ctx, tx, actor, put)
	})
}

// credentialEntry is a credential as the audit shows it.
type credentialEntry struct {
	Username string `json:"username"`
	Password string `json:"password"` // a mark
}

// Credentials returns a page of the registries that Berth can open. Passwords
// are never shown.
func (s *Service) Credentials(ctx context.Context, actor berth.Actor, p store.Page) (page []store.StoredCredential, next string, err error) {
	if err := authoriseInstallation(actor, action.Registries); err != nil {
		return nil, "", err
	}
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		page, next, err = tx.ListCredentials(ctx, p)
		return err
	})
	return page, next, err
}

// DeleteCredential forgets a registry's credential.
func (s *Service) DeleteCredential(ctx context.Context, actor berth.Actor, registry string) error {
	if err := authoriseInstallation(actor, action.DeleteRegistry); err != nil {
		return err
	}
	return s.store.InTx(ctx, actor, func(tx store.Tx) error {
		old, _, err := tx.Credential(ctx, registry)
		if err != nil {
			return err
		}
		if err := tx.DeleteCredential(ctx, registry); err != nil {
			return err
		}
		return action.DeleteRegistry.Record(ctx, tx, actor, action.Change{At: s.now(), Target: registry, Before: credentialEntry{old.Username, markSet}})
	})
}

// Backup writes a consistent copy of the database to path, which must not
// exist. The key that opens its secrets is not in it. That it was asked for is
// on record first, and so in the copy.
func (s *Service) Backup(ctx context.Context, actor berth.Actor, path string) error {
	if err := authoriseInstallation(actor, action.Backup); err != nil {
		return err
	}
	err := s.store.InTx(ctx, actor, func(tx store.Tx) error {
		return action.Backup.Record(ctx, tx, actor, action.Change{At: s.now()})
	})
	if err != nil {
		return err
	}
	return s.store.Backup(ctx, path)
}
