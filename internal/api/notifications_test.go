package api_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/notify"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
	"github.com/unite-hub/berth/internal/testbed"
)

func TestAWebhookIsMadeListedTestedAndForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.ask("POST", "/api/notifications", `{"url":"https://hooks.example.com/x"}`)
	if made.status != 201 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	m := made.json(t)
	id, secret := m["id"].(string), m["secret"].(string)
	if !strings.HasPrefix(secret, "whsec_") || len(m["kinds"].([]any)) != 7 || m["state"] != "enabled" {
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
	t.Parallel()
	w := newWorld(t)
	for _, body := range []string{
		`{"url":"http://hooks.example.com"}`, `{"url":"ftp://a"}`, `{"url":""}`, `{"url":"https://"}`, `{"url":"https://u:p@h"}`, `{"url":"https://h/#f"}`,
		`{"url":"https://h","kinds":["nonsense"]}`,
	} {
		w.wantProblem(w.ask("POST", "/api/notifications", body), 422, body)
	}
	w.wantProblem(w.ask("POST", "/api/notifications", `{"url":"https://h","organizationId":"`+one+`"}`), 404, "no tenant")
}

func TestAMailAddressThatBreaksARuleIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func(body, field string) {
		t.Helper()
		if p := w.wantProblem(w.ask("POST", "/api/notifications", body), 422, body); p != nil && p["field"] != field {
			t.Errorf("%s: field %v, want %s", body, p["field"], field)
		}
	}
	ask(`{"type":"email","address":"ops@example.com"}`, "type") // there is no mail server
	if p := w.ask("POST", "/api/notifications", `{"type":"email","address":"ops@example.com"}`).json(t); !strings.Contains(p["hint"].(string), "--smtp") {
		t.Errorf("hint %v", p["hint"])
	}
	w.restart(func(c *tenancy.Config, _ *tenancy.Parts) { c.Mail = true })
	for _, address := range []string{
		"", "ops", "@example.com", "ops@", "ops@example.com, b@example.com", "ops@example.com,b@example.com", "Ops <ops@example.com>", "<ops@example.com>",
		`ops@example.com\r\nBcc: x@example.com`, `ops@exa\u0000mple.com`, "ops @example.com", "ops@[127.0.0.1]", strings.Repeat("a", 243) + "@example.com", "(c)ops@example.com",
	} {
		ask(`{"type":"email","address":"`+address+`"}`, "address")
	}
	ask(`{"type":"email","address":"ops@example.com","url":"https://h"}`, "url")
	ask(`{"address":"ops@example.com"}`, "address")
	ask(`{"type":"pager","address":"ops@example.com"}`, "type")
	ask(`{"type":"email","address":"ops@example.com","kinds":["nonsense"]}`, "kinds")
	for _, address := range []string{"ops@example.com", "o'ps+berth@sub.example.com", strings.Repeat("a", 242) + "@example.com"} {
		if a := w.ask("POST", "/api/notifications", `{"type":"email","address":"`+address+`"}`); a.status != 201 {
			t.Errorf("%s: %d %s", address, a.status, a.body)
		}
	}
}

// dispatch sends what w's journal says to p until the returned function is called.
func (w *world) dispatch(p *testbed.Post) (stop func()) {
	d := notify.New(notify.Config{
		Store: w.store, Log: slog.New(slog.NewTextHandler(w.log, nil)), Now: store.Now, Poll: 5 * time.Millisecond,
		Senders: map[berth.ChannelType]notify.Sender{berth.ChannelEmail: notify.NewMail(notify.MailConfig{
			Host: "127.0.0.1", Port: p.Port, From: "berth@example.com", User: p.User, Password: p.Password, TLS: notify.StartTLS, Roots: p.Roots,
		})},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return func() {
		cancel()
		w.must(<-ended)
	}
}

func TestMailComesToTheAddressThatWasGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.restart(func(c *tenancy.Config, _ *tenancy.Parts) { c.Mail = true })
	p := &testbed.Post{User: "berth", Password: "s3cret-of-mail"}
	w.must(p.Start())
	defer func() { w.must(p.Close()) }()
	defer w.dispatch(p)()
	if a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"Acme \"Öl\"","slug":"acme","imageTag":"app:1"}`); a.status/100 != 2 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	made := w.ask("POST", "/api/notifications", `{"type":"email","address":"ops@example.com","organizationId":"`+one+`"}`)
	if made.status != 201 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	m := made.json(t)
	id := m["id"].(string)
	if m["type"] != "email" || m["address"] != "ops@example.com" || m["url"] != nil || m["secret"] != nil || m["state"] != "enabled" {
		t.Errorf("made %s", made.body)
	}
	if a := w.ask("POST", "/api/notifications/"+id+"/test", ""); a.status != 202 {
		t.Errorf("test: %d %s", a.status, a.body)
	}
	w.must(w.store.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		return tx.InsertEvent(t.Context(), berth.Event{ID: berth.NewID(), OrganizationID: one, At: time.Now().UTC(), Kind: berth.EventUnhealthy, Message: "answered 503"})
	}))
	end := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for strings.Count(w.ask("GET", "/api/notifications/"+id+"/deliveries", "").body, `"delivered"`) < 2 {
		select {
		case <-end:
			t.Fatalf("never delivered: %s", w.ask("GET", "/api/notifications/"+id+"/deliveries", "").body)
		case <-tick.C:
		}
	}
	var texts []string
	for _, l := range p.Messages() {
		message, err := mail.ReadMessage(bytes.NewReader(l.Text))
		w.must(err)
		body, err := io.ReadAll(quotedprintable.NewReader(message.Body))
		w.must(err)
		if l.User != "berth" || !l.Encrypted || len(l.To) != 1 || l.To[0] != "ops@example.com" {
			t.Errorf("came as %+v", l)
		}
		texts = append(texts, message.Header.Get("Subject")+"\n"+string(body))
	}
	if len(texts) != 2 || !strings.Contains(texts[0], "test") || !strings.Contains(texts[1], `Acme "Öl"`) || !strings.Contains(texts[1], "answered 503") || !strings.Contains(texts[1], "berth status "+one) {
		t.Errorf("%q", texts)
	}
	if strings.Contains(w.log.String(), "s3cret-of-mail") {
		t.Error("the password is in the log")
	}
	w.restart(func(c *tenancy.Config, _ *tenancy.Parts) { c.Mail = false }) // berth serve was started anew without --smtp
	w.wantProblem(w.ask("POST", "/api/notifications/"+id+"/test", ""), 422, "a test without a mail server")
	if a := w.ask("DELETE", "/api/notifications/"+id, ""); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
