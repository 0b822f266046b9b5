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
	return checkQuota(mostTokens, "tokens", organization, func(p store.Page) (valid int, next string, err error) {
		page, next, err := tx.ListTokens(ctx, organization, p)
		for _, t := range page {
			if t.Valid(now()) {
				valid++
			}
		}
		return valid, next, err
	})
}

func checkInvitationQuota(ctx context.Context, tx store.Invitations, organization string) error {
	return checkQuota(mostInvitations, "open invitations", organization, func(p store.Page) (open int, next string, err error) {
		page, next, err := tx.ListInvitations(ctx, organization, p)
		for _, i := range page {
			if i.Open(now()) {
				open++
			}
		}
		return open, next, err
	})
}

// checkQuota refuses one too many of what count counts a page of. The installation's
// own have no bound.
func checkQuota(most int, what, organization string, count func(store.Page) (n int, next string, err error)) error {
	if organization == "" {
		return nil
	}
	total := 0
	for cursor, more := "", true; more; more = cursor != "" {
		n, next, err := count(store.Page{Cursor: cursor, Limit: 1000})
		if err != nil {
			return err
		}
		total, cursor = total+n, next
	}
	if total >= most {
		return berth.Errorf(berth.CodeInvalidRequest, "The organization has %d %s already", total, what).WithHint("revoke one that nobody needs")
	}
	return nil
}
