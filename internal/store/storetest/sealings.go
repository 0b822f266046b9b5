package storetest

import (
	"bytes"
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// sealed stores one value of each kind, and a channel that has none.
func (f fixture) sealed() []store.Sealed {
	f.Helper()
	mail := channel(id(4), org(1))
	mail.Type, mail.Target, mail.Ciphertext = berth.ChannelEmail, "ops@example.com", nil
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, err := range []error{
			tx.InsertSecret(ctx, store.SecretVersion{ID: id(1), OrganizationID: org(1), Name: "KEY", Ciphertext: []byte{0, 1}, CreatedAt: noon}),
			tx.PutCredential(ctx, store.StoredCredential{Registry: "r.example:5000", Username: "u", Ciphertext: []byte{2}, UpdatedAt: noon}),
			tx.InsertChannel(ctx, channel(id(2), org(1))),
			tx.InsertChannel(ctx, channel(id(3), "")),
			tx.InsertChannel(ctx, mail),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	return []store.Sealed{
		{Kind: "channel", ID: id(2), OrganizationID: org(1), Ciphertext: []byte{0, 255}},
		{Kind: "channel", ID: id(3), Ciphertext: []byte{0, 255}},
		{Kind: "registry", ID: "r.example:5000", Ciphertext: []byte{2}},
		{Kind: "secret", ID: id(1), OrganizationID: org(1), Name: "KEY", Ciphertext: []byte{0, 1}},
	}
}

func (f fixture) listSealed() (list []store.Sealed) {
	f.Helper()
	f.view(operator, func(ctx context.Context, tx store.Tx) (err error) {
		list, _, err = tx.ListSealed(ctx, store.Page{})
		return err
	})
	return list
}

var sealingTests = []test{
	{"everything that is sealed is listed", func(f fixture) {
		want := f.sealed()
		f.same(f.listSealed(), want)
	}},
	{"a value is sealed anew if it is still the one that was read", func(f fixture) {
		want := f.sealed()
		for i, s := range want {
			fresh := append([]byte("fresh "), s.Ciphertext...)
			reseal := func(ctx context.Context, tx store.Tx) error { return tx.Reseal(ctx, s, fresh) }
			f.tx(reseal)
			f.code(f.try(operator, reseal), berth.CodeStale) // it is another by now
			want[i].Ciphertext = fresh
		}
		f.same(f.listSealed(), want)
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			secrets, err := tx.Secrets(ctx, org(1), []string{id(1)})
			if err != nil {
				return err
			}
			credential, _, err := tx.Credential(ctx, "r.example:5000")
			if err != nil {
				return err
			}
			one, err := tx.Channel(ctx, id(2))
			if !bytes.Equal(secrets[0].Ciphertext, []byte("fresh \x00\x01")) || !bytes.Equal(credential.Ciphertext, []byte("fresh \x02")) ||
				!bytes.Equal(one.Ciphertext, []byte("fresh \x00\xff")) {
				f.Errorf("got %q, %q, %q", secrets[0].Ciphertext, credential.Ciphertext, one.Ciphertext)
			}
			return err
		})
	}},
	{"what is not there can't be sealed anew", func(f fixture) {
		f.sealed()
		for _, s := range []store.Sealed{
			{Kind: "secret", ID: id(9), Ciphertext: []byte{1}}, {Kind: "registry", ID: "none", Ciphertext: []byte{1}},
			{Kind: "channel", ID: id(9), Ciphertext: []byte{1}}, {Kind: "channel", ID: id(4)},
		} {
			f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.Reseal(ctx, s, []byte{9}) }), berth.CodeStale)
		}
	}},
}
