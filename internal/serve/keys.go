package serve

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/secret"
)

// Keys says where the keys are that encrypt what is stored.
type Keys struct {
	File      string // "": secret.key in the state directory
	KMS       string // what wraps the file; "" for nothing
	Token     string // for the KMS: this or TokenFile
	TokenFile string
}

func (k Keys) path(stateDir string) string {
	if k.File != "" {
		return k.File
	}
	return filepath.Join(stateDir, secret.FileName)
}

// kms is what wraps the file.
func (k Keys) kms() (secret.KMS, error) {
	switch {
	case k.KMS == "":
		return secret.InClear(), nil
	case k.Token != "" && k.TokenFile != "":
		return nil, berth.Errorf(berth.CodeInvalidRequest, "BERTH_KMS_TOKEN and BERTH_KMS_TOKEN_FILE are both set").WithField("BERTH_KMS_TOKEN").
			WithHint("unset one of them")
	}
	return secret.NewVault(k.KMS, secret.TokenFrom(k.Token, k.TokenFile))
}

// openKeys loads the keys, and makes them only if there is no database that
// they could be missing for.
func openKeys(ctx context.Context, p parsed) (*secret.Box, error) {
	_, err := os.Lstat(p.database)
	if errors.Is(err, fs.ErrNotExist) {
		return secret.CreateFile(ctx, p.Keys.path(p.StateDir), p.kms)
	}
	return secret.LoadFile(ctx, p.Keys.path(p.StateDir), p.kms)
}

// Rewrap has the KMS that k names wrap the key file, or none. from names the
// one that wraps it now.
func Rewrap(ctx context.Context, stateDir string, k Keys, from string) error {
	to, err := k.kms()
	if err != nil {
		return err
	}
	now := k
	now.KMS = from
	before, err := now.kms()
	if err != nil {
		return err
	}
	box, err := secret.LoadFile(ctx, k.path(stateDir), before)
	if err != nil {
		return err
	}
	return box.Rewrap(ctx, to)
}
