package auth

import (
	"cmp"
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// NewToken is a token to be.
type NewToken struct {
	Name           string
	Role           berth.Role   // "": an operator's
	OrganizationID string       // "": the actor's own, if it has one
	Scopes         berth.Scopes // 0: all of the role's
	ExpiresAt      time.Time    // zero: never
}

// tokenEntry is a token as the audit shows it.
type tokenEntry struct {
	Name      string     `json:"name"`
	Prefix    string     `json:"prefix"`
	Role      berth.Role `json:"role"`
	Scopes    []string   `json:"scopes,omitempty"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	RevokedAt *time.Time `json:"revokedAt,omitempty"`
}

func entryOf(t berth.Token) tokenEntry {
	e := tokenEntry{Name: t.Name, Prefix: t.Prefix, Role: t.Role, Scopes: t.Scopes.Names()}
	if !t.ExpiresAt.IsZero() {
		e.ExpiresAt = &t.ExpiresAt
	}
	if !t.RevokedAt.IsZero() {
		e.RevokedAt = &t.RevokedAt
	}
	return e
}

// Create makes a token and returns its text, which is never shown again.
func (a *Auth) Create(ctx context.Context, actor berth.Actor, in NewToken) (text string, t berth.Token, err error) {
	if err := in.complete(actor); err != nil {
		return "", t, err
	}
	if in.ExpiresAt, err = a.within(ctx, actor, in.ExpiresAt); err != nil {
		return "", t, err
	}
	text = newText(tokenPrefix)
	t = berth.Token{
		ID: berth.NewID(), Name: in.Name, Prefix: text[:shownLen], Hash: hash(text), Role: in.Role,
		OrganizationID: in.OrganizationID, Scopes: in.Scopes, CreatedBy: actor.ID, CreatedAt: store.Now(), ExpiresAt: in.ExpiresAt,
	}
	err = a.Store.InTx(ctx, actor, func(tx store.Tx) error {
		if err := (grant{in.Role, in.OrganizationID, in.Scopes}).check(ctx, tx, actor, action.CreateToken); err != nil {
			return err
		}
		if err := checkTokenQuota(ctx, tx, t.OrganizationID); err != nil {
			return err
		}
		if err := tx.InsertToken(ctx, t); err != nil {
			return err
		}
		return action.CreateToken.Record(ctx, tx, actor, action.Change{At: store.Now(), Organization: t.OrganizationID, Target: t.ID, After: entryOf(t)})
	})
	if err != nil {
		return "", berth.Token{}, err
	}
	return text, t, nil
}

// within is when a token expires that an actor makes: never after the actor's
// own.
func (a *Auth) within(ctx context.Context, actor berth.Actor, asked time.Time) (time.Time, error) {
	if actor.Role == berth.RoleSystem {
		return asked, nil
	}
	var own berth.Token // zero for a person
	err := a.Store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		own, err = tx.Token(ctx, actor.ID)
		return err
	})
	switch {
	case err != nil && !berth.Is(err, berth.CodeNotFound):
		return asked, err
	case err != nil || own.ExpiresAt.IsZero():
		return asked, nil
	case asked.IsZero():
		return own.ExpiresAt, nil
	case asked.After(own.ExpiresAt):
		return asked, berth.Errorf(berth.CodeForbidden, "A token makes none that outlives it").WithField("expiresAt").
			WithHint("yours expires at %s; leave it out for the same", own.ExpiresAt.Format(time.RFC3339))
	}
	return asked, nil
}

// complete fills in what was left out and checks what needs no database.
func (in *NewToken) complete(actor berth.Actor) error {
	if err := berth.ValidateLabel("Token name", "name", in.Name); err != nil {
		return err
	}
	if !in.ExpiresAt.IsZero() && !in.ExpiresAt.After(store.Now()) {
		return berth.Errorf(berth.CodeInvalidRequest, "A token must expire in the future").WithField("expiresAt").
			WithHint("leave it out for a token that does not expire; %s was given", in.ExpiresAt.Format(time.RFC3339))
	}
	if year := in.ExpiresAt.UTC().Year(); year > 9999 { // RFC 3339 has four digits for it
		return berth.Errorf(berth.CodeInvalidRequest, "A token must expire before the year 10000").WithField("expiresAt").
			WithHint("leave it out for a token that does not expire; the year %d was given", year)
	}
	in.Role = cmp.Or(in.Role, berth.RoleOperator)
	if in.OrganizationID == "" && in.Role != berth.RoleOperator {
		in.OrganizationID = actor.OrganizationID
	}
	if in.OrganizationID != "" {
		id, err := berth.ParseOrganizationID(in.OrganizationID)
		if err != nil {
			return err
		}
		in.OrganizationID = id
		if err := memberRole(in.Role); err != nil {
			return err
		}
	} else if in.Role != berth.RoleOperator && in.Role != berth.RoleDeployer {
		return berth.Errorf(berth.CodeInvalidRole, "A token without an organization is an operator's or a deployer's").WithField("role").
			WithHint("give organizationId, or role operator or deployer; %s was given", berth.Quote(string(in.Role)))
	}
	if beyond := in.Scopes &^ most(in.Role); beyond != 0 {
		return berth.Errorf(berth.CodeInvalidScope, "A token with role %s can't have scope %s", in.Role, inWords(beyond.Names())).WithField("scopes").
			WithHint("the role has %s", inWords(most(in.Role).Names()))
	}
	if in.Scopes == 0 && actor.Scopes != 0 { // a narrow token makes no wider one
		if in.Scopes = most(in.Role) & actor.Scopes; in.Scopes == 0 {
			return forbidden("You can't give more than you may do yourself")
		}
	}
	return nil
}

// Tokens returns a page of tokens, oldest first: of one organization, or with
// organization "" all that the actor may manage.
func (a *Auth) Tokens(ctx context.Context, actor berth.Actor, organization string, p store.Page) (page []berth.Token, next string, err error) {
	if organization == "" {
		organization = actor.OrganizationID
	}
	err = a.Store.View(ctx, actor, func(tx store.Tx) error {
		if _, err := manages(ctx, tx, actor, action.Tokens, organization); err != nil {
			return err
		}
		page, next, err = tx.ListTokens(ctx, organization, p)
		return err
	})
	return page, next, err
}

// Revoke ends a token. Revoking twice is no error.
func (a *Auth) Revoke(ctx context.Context, actor berth.Actor, id string) error {
	return a.Store.InTx(ctx, actor, func(tx store.Tx) error {
		t, err := tx.Token(ctx, id)
		if err != nil {
			return err
		}
		if _, err := manages(ctx, tx, actor, action.RevokeToken, t.OrganizationID); err != nil {
			return err
		}
		if !t.RevokedAt.IsZero() {
			return nil
		}
		before := entryOf(t)
		t.RevokedAt = store.Now()
		if err := tx.UpdateToken(ctx, t); err != nil {
			return err
		}
		return action.RevokeToken.Record(ctx, tx, actor, action.Change{At: store.Now(), Organization: t.OrganizationID, Target: t.ID, Before: before, After: entryOf(t)})
	})
}
