package edge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

func TestAClientThatTakesNoJSONGetsAnErrorAsText(t *testing.T) {
	t.Parallel()
	const problem, text = "application/problem+json", "text/plain; charset=utf-8"
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	r := route(port)
	r.State = berth.RouteStopped
	apply(t, e, r)
	for accept, want := range map[string]string{
		"":                                 problem,
		"*/*":                              problem,
		"application/*":                    problem,
		"text/html, */*;q=0.8":             problem,
		"text/plain, application/json":     problem,
		"text/html;q=x, , */":              text,
		"text/html":                        text,
		"image/avif, text/*;q=0.5":         text,
		"*/*, application/json;q=0":        text,
		"*/*;q=0, application/json":        problem,
		"application/problem+json;q=0,*/*": text,
	} {
		req, err := http.NewRequest(http.MethodGet, url(port, "/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if accept != "" {
			req.Header.Set("Accept", accept)
		}
		res, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 503 || res.Header.Get("Content-Type") != want {
			t.Errorf("Accept %q: %d %s %v", accept, res.StatusCode, res.Header.Get("Content-Type"), err)
		}
		if json := strings.HasPrefix(string(body), "{"); json != (want == problem) ||
			!strings.Contains(string(body), "tenant_stopped") || res.Header.Get("Retry-After") != "30" {
			t.Errorf("Accept %q: %q", accept, body)
		}
	}
}
