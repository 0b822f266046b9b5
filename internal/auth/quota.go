package auth

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// mostTokens and mostInvitations are how many of an organization's are valid at
// once: each token has a rate limit of its own.
const (
	mostTokens      = 200
	mostInvitations = 200
)

func checkTokenQuota(ctx context.Context, tx store.Tokens, organization string) error {
	return checkQuota(mostTokens, "tokens", organization, func(p store.Page) ([]berth.Token, string, error) {
		return tx.ListTokens(ctx, organization, p)
	}, func(t berth.Token) bool { return t.Valid(store.Now()) })
}

func checkInvitationQuota(ctx context.Context, tx store.Invitations, organization string) error {
	return checkQuota(mostInvitations, "open invitations", organization, func(p store.Page) ([]berth.Invitation, string, error) {
		return tx.ListInvitations(ctx, organization, p)
	}, func(i berth.Invitation) bool { return i.Open(store.Now()) })
}

// checkQuota refuses one too many of those of a list that count. The
// installation's own have no bound.
func checkQuota[T any](most int, what, organization string, list func(store.Page) ([]T, string, error), counts func(T) bool) error {
	if organization == "" {
		return nil
	}
	total := 0
	for one, err := range store.Each(list) {
		if err != nil {
			return err
		}
		if counts(one) {
			total++
		}
	}
	if total >= most {
		return berth.Errorf(berth.CodeInvalidRequest, "The organization has %d %s already", total, what).WithHint("revoke one that nobody needs")
	}
	return nil
}
