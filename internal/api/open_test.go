package api_test

import (
	"net/http"
	"net/http/httptest"
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
