package docker_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// testRegistry is a registry on the loopback address, which an Engine asks
// without TLS.
type testRegistry struct {
	host  string
	real  http.Handler
	fault atomic.Pointer[http.HandlerFunc] // answers in its place
}

func newRegistry(t *testing.T, user, password string) *testRegistry {
	t.Helper()
	r := &testRegistry{real: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if f := r.fault.Load(); f != nil {
			(*f)(w, req)
			return
		}
		if u, p, _ := req.BasicAuth(); user != "" && (u != user || p != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		r.real.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// push puts an image into the registry and returns its reference and digest.
func (r *testRegistry) push(t *testing.T, repository string, auth authn.Authenticator) (ref, digest string) {
	t.Helper()
	ref = r.host + "/" + repository + ":v1"
	tag, err := name.NewTag(ref)
	must(t, err)
	img, err := makeImage(ref, "/app")
	must(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	must(t, remote.Write(tag, img, remote.WithAuth(auth), remote.WithTransport(transport)))
	hash, err := img.Digest()
	must(t, err)
	t.Cleanup(func() {
		for _, name := range []string{ref, r.host + "/" + repository + "@" + hash.String()} {
			_, err := shared.api.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true})
			_ = err // gone with the first name, or never pulled
		}
	})
	return ref, hash.String()
}

func TestAnImageIsPulledWithProgressAndPinnedByItsDigest(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	r := newRegistry(t, "", "")
	ref, digest := r.push(t, "some/app", authn.Anonymous)
	var seen []berth.Progress
	pin, err := e.Resolve(t.Context(), ref, nil, func(p berth.Progress) { seen = append(seen, p) })
	want := r.host + "/some/app@" + digest
	if err != nil || pin != want {
		t.Fatalf("resolved to %q, not %q: %v", pin, want, err)
	}
	if len(seen) == 0 || seen[0].Step != "pull "+ref {
		t.Errorf("progress %+v", seen)
	}
	// The Engine has it now: the registry is asked no more, and the pin stays.
	fail := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	r.fault.Store(&fail)
	for _, again := range []string{ref, pin} {
		if got, err := e.Resolve(t.Context(), again, nil, nil); err != nil || got != pin {
			t.Errorf("%s resolved to %q, %v", again, got, err)
		}
	}
	s := stack(t)
	s.Services[0].Image = pin
	o, err := e.Apply(t.Context(), s)
	if err != nil || o.Instances[0].Image != pin {
		t.Errorf("applied %+v, %v", o, err)
	}
	manual{}.RemoveAll(t, s.OrganizationID) // its image is removed before it otherwise
}

func TestAPinOfAnImageThatIsNotThereIsPulled(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	r := newRegistry(t, "", "")
	_, digest := r.push(t, "pinned", authn.Anonymous)
	pin := r.host + "/pinned@" + digest
	if got, err := e.Resolve(t.Context(), pin, nil, nil); err != nil || got != pin {
		t.Errorf("resolved to %q, %v", got, err)
	}
}

func TestACredentialOpensARegistryAndWithoutItTheErrorIsFinal(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	r := newRegistry(t, "ada", "secret")
	ref, digest := r.push(t, "private", &authn.Basic{Username: "ada", Password: "secret"})
	_, err := e.Resolve(t.Context(), ref, nil, nil)
	wantError(t, err, berth.CodeRegistryDenied, ref)
	_, err = e.Resolve(t.Context(), ref, &berth.Credential{Registry: r.host, Username: "ada", Password: "wrong"}, nil)
	wantError(t, err, berth.CodeRegistryDenied, ref)
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("the error shows the password: %v", err)
	}
	pin, err := e.Resolve(t.Context(), ref, &berth.Credential{Registry: r.host, Username: "ada", Password: "secret"}, nil)
	if err != nil || pin != r.host+"/private@"+digest {
		t.Errorf("resolved to %q, %v", pin, err)
	}
}

func TestAFailedPullSaysWhoseFaultItIs(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, test := range map[string]struct {
		fault http.HandlerFunc
		code  berth.Code
	}{
		"no such tag":     {nil, berth.CodeImageNotFound},
		"401":             {answer(401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`), berth.CodeRegistryDenied},
		"403":             {answer(403, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`), berth.CodeRegistryDenied},
		"404 of a proxy":  {answer(404, `{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}`), berth.CodeImageNotFound},
		"500":             {answer(500, `{"errors":[{"code":"UNKNOWN","message":"oops"}]}`), berth.CodeRegistryUnavailable},
		"503 and no JSON": {answer(503, `<html>busy</html>`), berth.CodeRegistryUnavailable},
		"it breaks off":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, berth.CodeRegistryUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, "", "")
			if test.fault != nil {
				r.fault.Store(&test.fault)
			}
			ref := r.host + "/nothing:v1"
			_, err := open(t, options()).Resolve(t.Context(), ref, nil, nil)
			wantError(t, err, test.code, ref)
		})
	}
}

func TestALayerThatBreaksOffFailsThePull(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	r := newRegistry(t, "", "")
	ref, _ := r.push(t, "torn", authn.Anonymous)
	fault := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/blobs/") {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		r.real.ServeHTTP(w, req)
	})
	r.fault.Store(&fault)
	_, err := e.Resolve(t.Context(), ref, nil, nil)
	wantError(t, err, berth.CodeRegistryUnavailable, ref)
}

func TestTheProgressOfAPullIsSummedOverItsLayers(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if !strings.HasSuffix(r.URL.Path, "/images/create") {
			through.ServeHTTP(w, r)
			return
		}
		for _, line := range []string{
			`{"status":"Pulling from app","id":"v1"}`,
			`{"status":"Downloading","progressDetail":{"current":10,"total":100},"id":"aaa"}`,
			`{"status":"Downloading","progressDetail":{"current":5,"total":50},"id":"bbb"}`,
			`{"status":"Download complete","progressDetail":{},"id":"aaa"}`,
			`{"status":"Extracting","progressDetail":{"current":1,"total":100},"id":"aaa"}`,
			`{"errorDetail":{"message":"received unexpected HTTP status: 500 Internal Server Error"},"error":"…"}`,
		} {
			_, _ = io.WriteString(w, line+"\r\n")
		}
	})
	var seen [][2]int64
	_, err := e.Resolve(t.Context(), "registry.invalid/app:v1", nil, func(p berth.Progress) { seen = append(seen, [2]int64{p.Done, p.Total}) })
	wantError(t, err, berth.CodeRegistryUnavailable, "500 Internal Server Error") // it came inside the stream
	// The first tells of the pull before it begins.
	if want := [][2]int64{{0, 0}, {0, 0}, {10, 100}, {15, 150}, {105, 150}, {105, 150}}; !slices.Equal(seen, want) {
		t.Errorf("progress %v, not %v", seen, want)
	}
}

func TestASlowRegistryIsGivenUpAtTheDeadline(t *testing.T) {
	t.Parallel()
	o := options()
	o.PullTimeout = 500 * time.Millisecond
	r := newRegistry(t, "", "")
	over := make(chan struct{})
	t.Cleanup(func() { close(over) }) // the Engine stays on the line for a while
	slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		<-over
		panic(http.ErrAbortHandler)
	})
	r.fault.Store(&slow)
	_, err := open(t, o).Resolve(t.Context(), r.host+"/slow:v1", nil, nil)
	wantError(t, err, berth.CodeRegistryUnavailable, "did not end within 500ms")
}
