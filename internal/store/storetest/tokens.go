package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// token is the n-th token, complete; of no organization for "".
func token(n int, organizationID string, role berth.Role) berth.Token {
	return berth.Token{
		ID: id(n), Name: "ci", Prefix: "berth_ab", Hash: digest(n), Role: role, OrganizationID: organizationID,
		Scopes: berth.ScopeRead | berth.ScopeDeploy, CreatedBy: "token-1", CreatedAt: noon, ExpiresAt: noon.Add(time.Hour),
	}
}

var tokenTests = []test{
	{"tokens are found by hash and never come back from revocation", func(f fixture) {
		a := berth.Token{ID: berth.NewID(), Name: "ops 🚢", Prefix: "berth_ab", Hash: digest(1), Role: berth.RoleOperator, CreatedAt: noon}
		b := berth.Token{ID: berth.NewID(), Name: "ci", Prefix: "berth_cd", Hash: digest(2), Role: berth.RoleOperator,
			CreatedAt: noon.Add(-time.Hour), ExpiresAt: noon.Add(time.Hour), LastUsedAt: noon, RevokedAt: noon}
		f.tx(func(ctx context.Context, tx store.Tx) error {
			if err := tx.InsertToken(ctx, a); err != nil {
				return err
			}
			return tx.InsertToken(ctx, b)
		})
		check := func(want ...berth.Token) {
			f.Helper()
			f.view(berth.System(), func(ctx context.Context, tx store.Tx) error {
				list, _, err := tx.ListTokens(ctx, "", store.Page{})
				if err != nil {
					return err
				}
				f.same(list, want)
				for _, w := range want {
					got, ok, err := tx.TokenByHash(ctx, w.Hash)
					if err != nil || !ok {
						f.Fatalf("token %s: found %v, %v", w.Name, ok, err)
					}
					f.same(got, w)
				}
				if _, ok, err := tx.TokenByHash(ctx, digest(3)); ok || err != nil {
					f.Errorf("a hash nobody has: found %v, %v", ok, err)
				}
				return nil
			})
		}
		update := func(k berth.Token) {
			f.tx(func(ctx context.Context, tx store.Tx) error { return tx.UpdateToken(ctx, k) })
		}
		check(a, b)
		used, revoked := a, a
		used.LastUsedAt = noon.Add(time.Minute)
		revoked.RevokedAt = noon.Add(time.Hour)
		update(revoked) // meanwhile
		update(used)    // a late note of use
		update(a)       // and one from before
		both := revoked
		both.LastUsedAt = used.LastUsedAt
		check(both, b)
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error {
			return tx.UpdateToken(ctx, berth.Token{ID: berth.NewID(), Role: berth.RoleOperator})
		}), berth.CodeNotFound)
	}},
	{"a token has an organization that is there, scopes, and who made it", func(f fixture) {
		f.organizations(1, 2)
		all := []berth.Token{
			token(3, "", berth.RoleDeployer), token(1, org(1), berth.RoleAdmin), token(4, org(2), berth.RoleMember), token(2, org(1), berth.RoleDeployer),
		}
		all[0].Scopes, all[0].ExpiresAt, all[1].Scopes = berth.AllScopes, time.Time{}, 0
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, k := range all {
				if err := tx.InsertToken(ctx, k); err != nil {
					return err
				}
			}
			return nil
		})
		for organizationID, want := range map[string][]berth.Token{"": all, org(1): {all[1], all[3]}, org(2): {all[2]}, org(3): {}} {
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				list, _, err := tx.ListTokens(ctx, organizationID, store.Page{})
				f.same(list, want)
				return err
			})
		}
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			for _, want := range all {
				got, err := tx.Token(ctx, want.ID)
				if err != nil {
					return err
				}
				f.same(got, want)
			}
			_, err := tx.Token(ctx, id(99))
			f.code(err, berth.CodeNotFound)
			return nil
		})
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error {
			return tx.InsertToken(ctx, token(9, org(9), berth.RoleAdmin))
		}), berth.CodeOrganizationNotFound)
		if err := f.try(operator, func(ctx context.Context, tx store.Tx) error {
			k := token(9, org(1), berth.RoleAdmin)
			k.Hash = all[1].Hash
			return tx.InsertToken(ctx, k)
		}); err == nil {
			f.Error("two tokens have one hash")
		}
	}},
	{"an organization's own revoke its tokens, and who made them does not change", func(f fixture) {
		f.organizations(1)
		k := token(1, org(1), berth.RoleDeployer)
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.InsertToken(ctx, k) })
		changed := k
		changed.RevokedAt, changed.Role, changed.OrganizationID, changed.Scopes, changed.CreatedBy = noon, berth.RoleOperator, "", 0, "x"
		admin := berth.Actor{ID: id(7), Role: berth.RoleAdmin, OrganizationID: org(1)}
		if err := f.try(admin, func(ctx context.Context, tx store.Tx) error { return tx.UpdateToken(ctx, changed) }); err != nil {
			f.Fatal(err)
		}
		k.RevokedAt = noon
		f.view(admin, func(ctx context.Context, tx store.Tx) error {
			got, err := tx.Token(ctx, k.ID)
			f.same(got, k)
			return err
		})
	}},
}
