package api_test

import (
	"strings"
	"testing"
)

func TestAWebhookIsMadeListedTestedAndForgotten(t *testing.T) {
	w := newWorld(t)
	made := w.ask("POST", "/api/notifications", `{"url":"https://hooks.example.com/x"}`)
	if made.status != 201 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	m := made.json(t)
	id, secret := m["id"].(string), m["secret"].(string)
	if !strings.HasPrefix(secret, "whsec_") || len(m["kinds"].([]any)) != 6 || m["state"] != "enabled" {
		t.Errorf("made %s", made.body)
	}
	if list := w.ask("GET", "/api/notifications", ""); list.status != 200 || !strings.Contains(list.body, id) || strings.Contains(list.body, secret) {
		t.Errorf("list %d %s", list.status, list.body)
	}
	if test := w.ask("POST", "/api/notifications/"+id+"/test", ""); test.status != 202 || test.json(t)["state"] != "pending" {
		t.Errorf("test %d %s", test.status, test.body)
	}
	if l := w.ask("GET", "/api/notifications/"+id+"/deliveries", ""); l.status != 200 || len(l.json(t)["deliveries"].([]any)) != 1 {
		t.Errorf("deliveries %d %s", l.status, l.body)
	}
	if gone := w.ask("DELETE", "/api/notifications/"+id, ""); gone.status != 204 {
		t.Errorf("delete %d %s", gone.status, gone.body)
	}
	for _, path := range []string{"", "/deliveries", "/test"} {
		method := map[string]string{"": "DELETE", "/deliveries": "GET", "/test": "POST"}[path]
		w.wantProblem(w.ask(method, "/api/notifications/"+id+path, ""), 404, method+path+" of one that is gone")
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("the secret is in the log")
	}
}

func TestAWebhookThatBreaksARuleIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{
		`{"url":"http://hooks.example.com"}`, `{"url":"ftp://a"}`, `{"url":""}`, `{"url":"https://"}`, `{"url":"https://u:p@h"}`, `{"url":"https://h/#f"}`,
		`{"url":"https://h","kinds":["nonsense"]}`,
	} {
		w.wantProblem(w.ask("POST", "/api/notifications", body), 422, body)
	}
	w.wantProblem(w.ask("POST", "/api/notifications", `{"url":"https://h","organizationId":"`+one+`"}`), 404, "no tenant")
}
