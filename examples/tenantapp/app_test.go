package main

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(t *testing.T, h http.Handler, method, path, body string) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader(body)))
	return rec.Code, rec.Body.String()
}

func TestTheAppSaysWhoItIsAndDoesAsItIsTold(t *testing.T) {
	app := newApp("7", []string{"TENANT_ID=id", "TENANT_NAME=<b>", "TENANTAPP_TEST=1", "ODD=a=b\n", "DATA_DIR=" + t.TempDir()})
	for _, c := range []struct {
		method, path, body string
		status             int
		holds              string
	}{
		{"GET", "/api/health", "", 200, `"version":"7"`},
		{"GET", "/", "", 200, `"tenantId":"id"`},
		{"GET", "/api/env?name=ODD", "", 200, base64.StdEncoding.EncodeToString([]byte("a=b\n"))},
		{"GET", "/api/env?name=NONE", "", 404, ""},
		{"GET", "/api/data/note", "", 404, ""},
		{"PUT", "/api/data/note", "kept", 204, ""},
		{"GET", "/api/data/note", "", 200, "kept"},
		{"PUT", "/api/data/No%2F", "x", 400, ""},
		{"POST", "/api/echo", "12345", 200, `"bytes":5`},
		{"GET", "/api/stream?n=2&ms=0", "", 200, "data: 1"},
		{"GET", "/api/ws", "", 426, ""},
		{"POST", "/api/behave", `{"healthStatus":503,"memoryMb":1,"cpuMs":5,"logBytes":1}`, 204, ""},
		{"GET", "/api/health", "", 503, "as told"},
		{"POST", "/api/behave", `nonsense`, 400, ""},
	} {
		if status, body := ask(t, app, c.method, c.path, c.body); status != c.status || !strings.Contains(body, c.holds) {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
}

func TestTheAppEscapesNamesAndKeepsValuesToItself(t *testing.T) {
	app := newApp("7", []string{"TENANT_NAME=<b>", "A_SECRET=canary"})
	req := httptest.NewRequest("GET", "/", nil)
	req.Header.Set("Accept", "text/html")
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, req)
	if page := rec.Body.String(); strings.Contains(page, "<b>") {
		t.Errorf("the name is markup: %s", page)
	}
	_, home := ask(t, app, "GET", "/", "")
	if status, _ := ask(t, app, "GET", "/api/env?name=A_SECRET", ""); status != 404 || strings.Contains(home, "canary") {
		t.Error("a value is shown")
	}
}
