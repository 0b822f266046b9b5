package testbed

import (
	"io"
	"log"
	"net"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// PrivateRegistry is a registry on the loopback address, which an Engine
// reaches over plain HTTP, that wants a user name and a password.
type PrivateRegistry struct {
	Host     string // with its port
	Username string
	Password string
}

// Registry starts a registry that ends with the test.
func Registry(t testing.TB, username, password string) *PrivateRegistry {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != username || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return &PrivateRegistry{Host: l.Addr().String(), Username: username, Password: password}
}

// Push puts a tenant image into the registry and returns its full reference
// and its digest.
func (r *PrivateRegistry) Push(t testing.TB, repositoryTag string) (reference, digest string) {
	t.Helper()
	return r.PushVersion(t, repositoryTag, "pulled")
}

// PushVersion is Push of a version of one's own.
func (r *PrivateRegistry) PushVersion(t testing.TB, repositoryTag, version string) (reference, digest string) {
	t.Helper()
	img, err := TenantImage(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(r.Host + "/" + repositoryTag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img, remote.WithAuth(&authn.Basic{Username: r.Username, Password: r.Password})); err != nil {
		t.Fatal(err)
	}
	sum, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return tag.Name(), sum.String()
}
