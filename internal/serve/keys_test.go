package serve

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

// nobody is an address of this machine that nothing listens at.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestAKMSThatDoesNotAnswerEndsTheStartWithTheReasonAndMakesNoKey(t *testing.T) {
	c := Default()
	c.StateDir = t.TempDir()
	c.Keys = Keys{KMS: "vault:http://" + nobody(t) + "/transit/berth", Token: "hvs.canary"}
	err := Run(t.Context(), c, io.Discard, io.Discard)
	var e *berth.Error
	if !errors.As(err, &e) || e.Code != berth.CodeStorageUnavailable || !strings.Contains(e.Hint, "tenants' containers run on") || strings.Contains(err.Error()+e.Hint, "canary") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(c.StateDir, "secret.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key file that nobody can open: %v", err)
	}
}

func TestTwoTokensAreOneTooMany(t *testing.T) {
	_, err := Keys{KMS: "vault:https://vault.example.com/transit/berth", Token: "a", TokenFile: "b"}.kms()
	var e *berth.Error
	if !errors.As(err, &e) || e.Field != "BERTH_KMS_TOKEN" || e.Hint == "" {
		t.Errorf("%v", err)
	}
}

func TestKeysAreMadeWhereTheFlagSays(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "keys", "berth.key")
	c := Default()
	c.StateDir, c.Keys.File = t.TempDir(), elsewhere
	p, err := c.parse()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openKeys(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(elsewhere); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(c.StateDir); err != nil || len(left) != 0 {
		t.Errorf("in the state directory: %v, %v", left, err)
	}
}
