package secret

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/unite-hub/berth"
)

// VaultPrefix begins the name of a key in Vault's transit engine, or in
// OpenBao's, which speaks the same protocol.
const VaultPrefix = "vault:"

const (
	vaultPatience = 10 * time.Second // for one answer
	largestAnswer = 4 << 20
)

// Token returns what authenticates to a KMS. It is asked at each call, so that
// a token that is renewed in its file is noticed.
type Token func() (string, error)

// TokenFrom returns the token itself, or the one in a file; one of the two is "".
func TokenFrom(token, file string) Token {
	return func() (string, error) {
		if file == "" {
			return token, nil
		}
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }()
		data, err := io.ReadAll(io.LimitReader(f, 64<<10))
		return strings.TrimSpace(string(data)), err
	}
}

// vault is a key in a transit engine. The library of HashiCorp is not used: it
// takes no context through Tink's interface, follows what it finds in VAULT_*
// variables, and all that is needed of it is two requests.
type vault struct {
	name   string
	base   *url.URL // of the engine
	key    string
	token  Token
	client *http.Client
}

// NewVault returns the key that name means: vault:https://HOST[:PORT]/MOUNT/KEY.
// Without TLS only this machine is reached.
func NewVault(name string, token Token) (KMS, error) {
	bad := func(rule string) error {
		return berth.Errorf(berth.CodeInvalidRequest, "--kms %s", rule).WithField("kms").
			WithHint("give vault:https://HOST:8200/transit/KEY: the address of Vault or OpenBao, where its transit engine is mounted, and the key's name")
	}
	rest, ok := strings.CutPrefix(name, VaultPrefix)
	if !ok {
		return nil, bad("must begin with vault:")
	}
	u, err := url.Parse(rest)
	if err != nil || u.Hostname() == "" { // not the parser's error: it quotes what may hold a password
		return nil, bad("can't be read")
	}
	path := strings.Split(strings.Trim(u.Path, "/"), "/")
	last := len(path) - 1
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, bad("must not hold a user, a password, a query or a fragment; the token is in BERTH_KMS_TOKEN or in the file that BERTH_KMS_TOKEN_FILE names")
	case u.Scheme != "https" && (u.Scheme != "http" || !onThisMachine(u.Hostname())):
		return nil, bad("must begin with vault:https://, or with vault:http:// to this machine")
	case last < 1 || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/.") || u.RawPath != "":
		return nil, bad("must end with /MOUNT/KEY")
	}
	base := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/v1/" + strings.Join(path[:last], "/")}
	return &vault{
		name: VaultPrefix + u.Scheme + "://" + u.Host + "/" + strings.Join(path, "/"),
		base: base, key: path[last], token: token,
		client: &http.Client{
			Timeout:       vaultPatience,
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: vaultPatience},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes nowhere else
		},
	}, nil
}

func onThisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func (v *vault) Name() string { return v.name }

func (v *vault) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	var out struct {
		Ciphertext string `json:"ciphertext"`
	}
	err := v.ask(ctx, "encrypt", map[string]string{
		"plaintext":       base64.StdEncoding.EncodeToString(plaintext),
		"associated_data": base64.StdEncoding.EncodeToString(ad),
	}, &out)
	if err == nil && !strings.HasPrefix(out.Ciphertext, "vault:v") {
		err = v.unusable(nil, "answered without a ciphertext")
	}
	return []byte(out.Ciphertext), err
}

func (v *vault) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	var out struct {
		Plaintext []byte `json:"plaintext"` // base64
	}
	err := v.ask(ctx, "decrypt", map[string]string{
		"ciphertext":      string(wrapped),
		"associated_data": base64.StdEncoding.EncodeToString(ad),
	}, &out)
	if err == nil && len(out.Plaintext) == 0 {
		err = v.unusable(nil, "answered without a plaintext")
	}
	return out.Plaintext, err
}

// ask does one request. Nothing is repeated: whoever called knows better
// whether to wait.
func (v *vault) ask(ctx context.Context, verb string, in map[string]string, out any) error {
	token, err := v.token()
	if err != nil {
		return v.unusable(err, "can't be asked: its token can't be read").WithHint("name a file that the user running Berth can read, with BERTH_KMS_TOKEN_FILE")
	}
	if token == "" {
		return v.unusable(nil, "can't be asked: there is no token").WithHint("set BERTH_KMS_TOKEN, or BERTH_KMS_TOKEN_FILE to a file that holds it")
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base.JoinPath(verb, v.key).String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Token", token)
	r.Header.Set("X-Vault-Request", "true")
	resp, err := v.client.Do(r)
	if err != nil {
		return v.unusable(reason(err), "does not answer").
			WithHint("make sure that it runs and can be reached from here; tenants' containers run on meanwhile")
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer))
	if err != nil {
		return v.unusable(reason(err), "stopped in the middle of its answer").WithHint("try again")
	}
	if resp.StatusCode != http.StatusOK {
		return v.refused(resp.StatusCode, data)
	}
	answer := struct {
		Data any `json:"data"`
	}{out}
	if err := json.Unmarshal(data, &answer); err != nil { // not the decoder's error: it may quote the answer
		return v.unusable(nil, "answered with what can't be read").WithHint("make sure that --kms names Vault or OpenBao itself")
	}
	return nil
}

// refused tells why an answer is none. Vault's own words are about paths,
// policies and its state, and quote no value.
func (v *vault) refused(status int, data []byte) error {
	var problem struct {
		Errors []string `json:"errors"`
	}
	_ = json.Unmarshal(data, &problem) // without words the status says enough
	said := fmt.Errorf("status %d", status)
	if len(problem.Errors) > 0 {
		said = fmt.Errorf("status %d: %.300q", status, strings.Join(problem.Errors, "; "))
	}
	switch status {
	case http.StatusForbidden:
		return v.unusable(said, "refuses the token").
			WithHint("give a token that is valid, with a policy that allows update on %s and %s", v.policyPath("encrypt"), v.policyPath("decrypt"))
	case http.StatusServiceUnavailable:
		return v.unusable(said, "is sealed or in maintenance").WithHint("unseal it; tenants' containers run on meanwhile")
	case http.StatusNotFound:
		return v.unusable(said, "has no such key or engine").WithHint("enable the transit engine and make the key: vault write -f %s", v.policyPath("keys"))
	}
	return v.unusable(said, "refuses").WithHint("look at Vault's log; the key must be one that encrypts with associated data, such as aes256-gcm96")
}

func (v *vault) policyPath(verb string) string {
	return strings.TrimPrefix(v.base.Path, "/v1/") + "/" + verb + "/" + v.key
}

func (v *vault) unusable(err error, what string) *berth.Error {
	e := berth.Errorf(berth.CodeStorageUnavailable, "KMS %s %s", v.name, what).WithOp("ask KMS", "")
	e.Err = err
	return e
}

// reason is err without the method and URL that net/http puts before it.
func reason(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	return err
}
