package secret_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/secret/secrettest"
)

// The protocol itself is tested on Vault's own engine, in test/kms. Here are
// the answers that it gives in trouble only.

const kmsToken = "hvs.canary-4471-token"

func vaultAt(t *testing.T, url string) secret.KMS {
	t.Helper()
	k, err := secret.NewVault("vault:"+url+"/transit/berth", secret.TokenFrom(kmsToken, ""))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTroubleWithAKMSIsToldWithAWayOut(t *testing.T) {
	for what, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"sealed": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			_, _ = io.WriteString(w, `{"errors":["Vault is sealed"]}`)
		}, "Vault is sealed"},
		"denied": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, `{"errors":["permission denied"]}`)
		}, "refuses the token"},
		"another server":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `<html>hunter2`) }, "can't be read"},
		"an empty answer": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":{}}`) }, "without a plaintext"},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"data":`)
		}, "middle of its answer"},
	} {
		server := httptest.NewServer(c.answer)
		_, err := vaultAt(t, server.URL).Unwrap(t.Context(), []byte("vault:v1:hunter2"), nil)
		server.Close()
		e := asError(t, err)
		if e.Code != berth.CodeStorageUnavailable || !strings.Contains(e.Error(), c.want) {
			t.Errorf("%s: %v, hint %q", what, err, e.Hint)
		}
		if all := e.Error() + e.Hint; strings.Contains(all, kmsToken) || strings.Contains(all, "hunter2") {
			t.Errorf("%s: the error says too much: %s", what, all)
		}
	}
}

func TestAKMSThatIsNotThereIsTold(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	_, err := vaultAt(t, server.URL).Wrap(t.Context(), []byte("hunter2"), nil)
	if e := asError(t, err); e.Code != berth.CodeStorageUnavailable || !strings.Contains(e.Error(), "does not answer") || !strings.Contains(e.Hint, "run on") {
		t.Errorf("%v, hint %q", err, e.Hint)
	}
}

func TestATokenIsNeverSentOn(t *testing.T) {
	var got []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("X-Vault-Token")) }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	if _, err := vaultAt(t, server.URL).Wrap(t.Context(), []byte("hunter2"), nil); err == nil {
		t.Error("followed to another server")
	}
	if len(got) > 0 {
		t.Errorf("the other server was sent %q", got)
	}
}

func TestAKMSIsNamedWithoutASecret(t *testing.T) {
	for _, bad := range []string{
		"", "https://vault.example.com/transit/berth", "vault:", "vault:https://vault.example.com", "vault:https://vault.example.com/berth",
		"vault:https://user:hunter2@vault.example.com/transit/berth", "vault:https://vault.example.com/transit/berth?token=hunter2",
		"vault:http://vault.example.com/transit/berth", "vault:https://vault.example.com/a/../sys/berth", "vault:https://v/a%2fb/c", "vault:https://hunter2:x y/z/z",
	} {
		_, err := secret.NewVault(bad, secret.TokenFrom("", ""))
		if e := asError(t, err); e.Field != "kms" || e.Hint == "" || strings.Contains(e.Error()+e.Hint, "hunter2") {
			t.Errorf("%q: %v, hint %q", bad, err, e.Hint)
		}
	}
	k, err := secret.NewVault("vault:https://vault.example.com:8200/a/transit/berth/", secret.TokenFrom("", ""))
	if err != nil || k.Name() != "vault:https://vault.example.com:8200/a/transit/berth" {
		t.Errorf("%v", err)
	}
	if _, err := secret.NewVault("vault:http://127.0.0.1:8200/transit/berth", secret.TokenFrom("", "")); err != nil {
		t.Error(err)
	}
}

func TestATokenIsReadFromItsFileAtEachCall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("X-Vault-Token"))
		_, _ = io.WriteString(w, `{"data":{"ciphertext":"vault:v1:x"}}`)
	}))
	defer server.Close()
	k, err := secret.NewVault("vault:"+server.URL+"/transit/berth", secret.TokenFrom("", file))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Wrap(t.Context(), []byte("x"), nil); err == nil || !strings.Contains(asError(t, err).Hint, "BERTH_KMS_TOKEN_FILE") {
		t.Errorf("without the file: %v", err)
	}
	for _, token := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Wrap(t.Context(), []byte("x"), nil); err != nil {
			t.Error(err)
		}
	}
	if fmt.Sprint(got) != "[one two]" {
		t.Errorf("sent %v", got)
	}
}

// reversing is a KMS that a test can take away.
type reversing struct {
	name string
	away *bool
}

func (r reversing) Name() string { return r.name }

func (r reversing) Wrap(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	if *r.away {
		return nil, berth.Errorf(berth.CodeStorageUnavailable, "KMS is away")
	}
	c := append(bytes.Clone(plaintext), ad...)
	for i := range c {
		c[i] ^= 0x5a
	}
	return c, nil
}

func (r reversing) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	p, err := r.Wrap(ctx, wrapped, nil)
	if err == nil && !bytes.HasSuffix(p, ad) {
		return nil, errors.New("another context")
	}
	return bytes.TrimSuffix(p, ad), err
}

func TestAWrappedFileOpensOnlyWithItsKMS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.key")
	away := false
	kms := reversing{"rev:1", &away}
	box, err := secret.CreateFile(t.Context(), path, kms)
	if err != nil {
		t.Fatal(err)
	}
	c := seal(t, box, "value", "ad")
	data, err := os.ReadFile(path)
	if err != nil || bytes.Contains(data, []byte("keyset")) || !bytes.Contains(data, []byte("rev:1")) {
		t.Errorf("the file: %s, %v", data, err)
	}
	again, err := secret.LoadFile(t.Context(), path, kms)
	if err != nil {
		t.Fatal(err)
	}
	wantOpen(t, again, c, "value")
	for what, other := range map[string]secret.KMS{"none": secret.InClear(), "another": reversing{"rev:2", &away}} {
		if _, err := secret.LoadFile(t.Context(), path, other); !berth.Is(err, berth.CodeStorageUnavailable) {
			t.Errorf("%s: %v", what, err)
		} else if e := asError(t, err); !strings.Contains(e.Hint, "rev:1") {
			t.Errorf("%s: the hint is %q", what, e.Hint)
		}
	}
}

func TestAKMSIsNotNeededOnceTheKeysAreOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.key")
	away := false
	kms := reversing{"rev:1", &away}
	box, err := secret.CreateFile(t.Context(), path, kms)
	if err != nil {
		t.Fatal(err)
	}
	other, err := secret.LoadFile(t.Context(), path, kms)
	if err != nil {
		t.Fatal(err)
	}
	away = true
	c := seal(t, box, "value", "ad")
	wantOpen(t, box, c, "value")
	if _, err := box.Rotate(t.Context(), then); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("rotated without the KMS: %v", err)
	}
	if _, err := secret.LoadFile(t.Context(), path, kms); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("started without the KMS: %v", err)
	}
	// Another process rotates; this one can't follow, and must not seal on.
	away = false
	rotate(t, other)
	away = true
	if _, err := box.Seal([]byte("x"), "ad"); err == nil {
		t.Error("sealed with a key that may be retired")
	}
	wantOpen(t, box, c, "value")
}

func TestAFileIsMovedToAKMSAndBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, secret.FileName)
	away := false
	kms := reversing{"rev:1", &away}
	box := create(t, dir)
	c := seal(t, box, "value", "ad")
	if _, err := secret.LoadFile(t.Context(), path, kms); !strings.Contains(asError(t, err).Hint, "berth key rewrap --kms rev:1") {
		t.Errorf("in clear, with a KMS: %v", err)
	}
	if err := box.Rewrap(t.Context(), kms); err != nil {
		t.Fatal(err)
	}
	wrapped, err := secret.LoadFile(t.Context(), path, kms)
	if err != nil {
		t.Fatal(err)
	}
	wantOpen(t, wrapped, c, "value")
	if err := wrapped.Rewrap(t.Context(), secret.InClear()); err != nil {
		t.Fatal(err)
	}
	back, err := secrettest.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantOpen(t, back, c, "value")
	if !bytes.Equal(back.SealKey(), box.SealKey()) {
		t.Error("the key of the seals changed")
	}
}
