// Package kms_test holds the client of Vault's transit engine against that
// engine itself, which tools/vault serves.
package kms_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/secret/secrettest"
	"github.com/unite-hub/berth/internal/serve"
	"github.com/unite-hub/berth/internal/testbed"
)

const token = "hvs.only-for-this-test"

// engine is a transit engine with a key named berth.
type engine struct {
	url string
	cmd *exec.Cmd
}

var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-kms")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		binary = filepath.Join(dir, "vault")
		err = buildVault(binary)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func buildVault(to string) error {
	root, err := testbed.ModuleRoot()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-o", to, ".")
	cmd.Dir = filepath.Join(root, "tools", "vault")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build Vault's transit engine: %w\n%s", err, out)
	}
	return nil
}

func start(t *testing.T) *engine {
	t.Helper()
	cmd := exec.Command(binary, "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "TOKEN="+token)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e := &engine{cmd: cmd}
	t.Cleanup(e.stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	e.url = strings.TrimSpace(strings.TrimPrefix(line, "ready "))
	e.do(t, "keys/berth", `{"type":"aes256-gcm96"}`)
	return e
}

func (e *engine) stop() {
	_ = e.cmd.Process.Kill() // may have ended
	_ = e.cmd.Wait()
}

func (e *engine) do(t *testing.T, path, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+"/v1/transit/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s: %d %s %v", path, resp.StatusCode, answer, err)
	}
}

func (e *engine) kms(t *testing.T, key, token string) secret.KMS {
	t.Helper()
	k, err := secret.NewVault("vault:"+e.url+"/transit/"+key, secret.TokenFrom(token, ""))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVaultWrapsAndUnwraps(t *testing.T) {
	e := start(t)
	k := e.kms(t, "berth", token)
	ctx := t.Context()
	for _, plain := range [][]byte{[]byte("hunter2 hunter2"), bytes.Repeat([]byte{0, 0xff}, 32<<10)} {
		wrapped, err := k.Wrap(ctx, plain, []byte("ad"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(wrapped, plain) {
			t.Error("wrapped in clear")
		}
		if got, err := k.Unwrap(ctx, wrapped, []byte("ad")); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
		if _, err := k.Unwrap(ctx, wrapped, []byte("another")); err == nil {
			t.Error("opened in another context")
		}
		wrapped[len(wrapped)/2] ^= 1
		if _, err := k.Unwrap(ctx, wrapped, []byte("ad")); err == nil {
			t.Error("a changed one opened")
		}
	}
}

func TestWhatVaultRefusesIsTold(t *testing.T) {
	e := start(t)
	for what, c := range map[string]struct {
		kms  secret.KMS
		want string
	}{
		"another token":  {e.kms(t, "berth", "hvs.stolen"), "refuses the token"},
		"no token":       {e.kms(t, "berth", ""), "no token"},
		"no such key":    {e.kms(t, "nothing", token), ""},
		"no such engine": {mustVault(t, "vault:"+e.url+"/elsewhere/berth"), "refuses the token"},
	} {
		_, err := c.kms.Unwrap(t.Context(), []byte("vault:v1:AAAA"), nil)
		if !berth.Is(err, berth.CodeStorageUnavailable) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
		if strings.Contains(fmt.Sprint(err), token) {
			t.Errorf("%s: the error holds the token", what)
		}
	}
}

func TestAKeyFileIsMovedToVaultAndBack(t *testing.T) {
	e := start(t)
	ctx, dir := t.Context(), t.TempDir()
	box, err := secrettest.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := box.Seal([]byte("value"), "ad")
	if err != nil {
		t.Fatal(err)
	}
	name := "vault:" + e.url + "/transit/berth"
	if err := serve.Rewrap(ctx, dir, serve.Keys{KMS: name, Token: token}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := secrettest.Load(dir); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("opened in clear: %v", err)
	}
	if err := serve.Rewrap(ctx, dir, serve.Keys{Token: token}, ""); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("unwrapped without saying from where: %v", err)
	}
	if err := serve.Rewrap(ctx, dir, serve.Keys{Token: token}, name); err != nil {
		t.Fatal(err)
	}
	back, err := secrettest.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := back.Open(c, "ad"); err != nil || string(got) != "value" || !bytes.Equal(back.SealKey(), box.SealKey()) {
		t.Errorf("%q, %v", got, err)
	}
}

func mustVault(t *testing.T, name string) secret.KMS {
	t.Helper()
	k, err := secret.NewVault(name, secret.TokenFrom(token, ""))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The key in Vault is rotated by Vault; old versions of it still unwrap.
func TestAKeyFileInVaultOutlivesTheRotationOfEitherKey(t *testing.T) {
	e := start(t)
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), secret.FileName)
	box, err := secret.CreateFile(ctx, path, e.kms(t, "berth", token))
	if err != nil {
		t.Fatal(err)
	}
	c, err := box.Seal([]byte("value"), "ad")
	if err != nil {
		t.Fatal(err)
	}
	wants := func() {
		t.Helper()
		again, err := secret.LoadFile(ctx, path, e.kms(t, "berth", token))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Open(c, "ad"); err != nil || string(got) != "value" {
			t.Errorf("%q, %v", got, err)
		}
	}
	wants()
	e.do(t, "keys/berth/rotate", `{}`)
	wants()
	if _, err := box.Rotate(ctx, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	wants()
	e.stop()
	if _, err := secret.LoadFile(ctx, path, e.kms(t, "berth", token)); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("opened without Vault: %v", err)
	}
	if got, err := box.Open(c, "ad"); err != nil || string(got) != "value" {
		t.Errorf("what was open is closed: %q, %v", got, err)
	}
	if _, err := box.Seal([]byte("x"), "ad"); err != nil {
		t.Error(err)
	}
}
