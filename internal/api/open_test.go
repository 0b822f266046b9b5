package api_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// Rendering the description took the processor 17 ms a request, and whoever
// has no token may ask for it as fast as the network lets them.
func TestWhatAnybodyMayReadIsRenderedOnce(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/openapi.json", "/docs"} {
		ask := func() {
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
			if rec.Code != http.StatusOK || rec.Body.Len() < 1000 {
				t.Fatalf("%s: %d with %d bytes", path, rec.Code, rec.Body.Len())
			}
		}
		ask()
		if made := testing.AllocsPerRun(5, ask); made > 200 {
			t.Errorf("%s: %.0f allocations for each request", path, made)
		}
	}
}

// huma looked for each parameter in a query of 60 KB in 0.2 s, and whoever has no
// token may come to the routes of a sign-in.
func TestAQueryOfManyParametersIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/auth/oidc/login", "/auth/oidc/callback", "/api/health", "/api/tenants", "/nowhere"} {
		for _, query := range []string{strings.Repeat("&", 100), strings.Repeat("a&", 100)} {
			w.want(w.ask("GET", path+"?"+query, ""), http.StatusBadRequest, path)
		}
	}
	w.want(w.ask("GET", "/api/tenants?limit=1"+strings.Repeat("&", 98), ""), http.StatusOK, "what is within the bound")
}

// The hops of X-Forwarded-For were parted before anybody looked whether they are
// believed: 1 MB for each time that 60 KB of commas were read, which was twice.
func TestHopsThatNobodyBelievesTakeNoMemory(t *testing.T) {
	w := newWorld(t)
	ask := func() {
		r := httptest.NewRequest(http.MethodGet, "/api/tenants", nil)
		r.Header.Set("X-Forwarded-For", strings.Repeat(",", 60_000))
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code != http.StatusUnauthorized {
			t.Fatal(rec.Code)
		}
	}
	ask()
	const times = 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		ask()
	}
	runtime.ReadMemStats(&after)
	if took := (after.TotalAlloc - before.TotalAlloc) / times; took > 500_000 {
		t.Errorf("a request took %d bytes", took)
	}
}
