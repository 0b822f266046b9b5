package docker_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

// A rootless Engine without cgroups of version 2, as 20.10 was seen to answer.
func TestOnAnEngineWithoutCgroupsAChangeOfLimitsIsRefusedWithTheCause(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/info"):
			answer := httptest.NewRecorder()
			through.ServeHTTP(answer, r)
			var info map[string]any
			must(t, json.Unmarshal(answer.Body.Bytes(), &info))
			info["CgroupDriver"] = "none"
			data, err := json.Marshal(info)
			must(t, err)
			answer.Header().Del("Content-Length")
			maps.Copy(w.Header(), answer.Header())
			_, _ = io.Copy(w, bytes.NewReader(data))
		case strings.HasSuffix(r.URL.Path, "/update"):
			http.Error(w, `{"message":"Cannot update container: cannot set memory limit: container could not join or create cgroup"}`, http.StatusInternalServerError)
		default:
			through.ServeHTTP(w, r)
		}
	})
	o := options()
	o.Host = p.host
	e := open(t, o)
	s := stack(t)
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	s.Services[0].Limits.MemoryMB *= 2
	_, err = e.Apply(t.Context(), s)
	wantError(t, err, berth.CodeEngineRefused, "has no cgroups", "could not join or create cgroup")
}
