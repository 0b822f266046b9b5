package notify_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/notify"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/testbed"
)

const password = "tr0ub4dor-&-3"

func post(t *testing.T, p *testbed.Post) *testbed.Post {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// to sends to p, encrypted as p can.
func to(p *testbed.Post) notify.MailConfig {
	c := notify.MailConfig{Host: "127.0.0.1", Port: p.Port, From: "berth@example.com", User: p.User, Password: p.Password, TLS: notify.StartTLS, Roots: p.Roots}
	switch {
	case p.Implicit:
		c.TLS = notify.ImplicitTLS
	case p.Clear:
		c.TLS = notify.NoTLS
	}
	return c
}

func mailChannel() store.StoredChannel {
	return store.StoredChannel{Channel: berth.Channel{ID: "channel-1", Type: berth.ChannelEmail, Target: "ops@example.com"}}
}

// delivery is one of an event of a tenant with a name.
func delivery(name string) berth.Delivery {
	at := time.Date(2026, 2, 28, 12, 30, 0, 0, time.UTC)
	body, _ := json.Marshal(map[string]any{"type": "tenant.unhealthy", "timestamp": at, "data": map[string]string{
		"organizationId": org, "tenantName": name, "slug": "acme", "message": "answered 503", "eventId": "event-1", "deploymentId": "deployment-1",
	}})
	return berth.Delivery{ID: "delivery-1", ChannelID: "channel-1", EventID: "event-1", Kind: berth.EventUnhealthy, Body: body, CreatedAt: at}
}

func send(t *testing.T, c notify.MailConfig) notify.Attempt {
	t.Helper()
	return notify.NewMail(c).Send(t.Context(), mailChannel(), delivery("Acme"))
}

// read parses a message as its reader's program does.
func read(t *testing.T, l testbed.Message) (header mail.Header, body string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(l.Text))
	if err != nil {
		t.Fatal(err)
	}
	in := m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		in = quotedprintable.NewReader(in)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, strings.ReplaceAll(string(text), "\r\n", "\n")
}

func TestMailIsSentEncryptedByWhomItIsSaidToBeAndReadable(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		t.Run(fmt.Sprintf("implicit %v", implicit), func(t *testing.T) {
			p := post(t, &testbed.Post{User: "berth", Password: password, Implicit: implicit})
			if a := send(t, to(p)); a.Err != nil || a.StatusCode != 250 || a.Gone {
				t.Fatalf("%+v", a)
			}
			messages := p.Messages()
			if len(messages) != 1 {
				t.Fatalf("%d messages", len(messages))
			}
			l := messages[0]
			if l.User != "berth" || !l.Encrypted || l.From != "berth@example.com" || !slices.Equal(l.To, []string{"ops@example.com"}) {
				t.Errorf("came as %+v", l)
			}
			header, body := read(t, l)
			for name, want := range map[string]string{
				"From": "<berth@example.com>", "To": "<ops@example.com>", "Subject": "[Berth] Acme: is not healthy", "Date": "Sat, 28 Feb 2026 12:30:00 +0000",
				"Message-Id": "<delivery-1@example.com>", "Auto-Submitted": "auto-generated", "Content-Type": "text/plain; charset=UTF-8",
			} {
				if got := header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			const want = `What:         is not healthy
Details:      answered 503
When:         Sat, 28 Feb 2026 12:30:00 UTC
Tenant:       Acme
Slug:         acme
Organization: 550e8400-e29b-41d4-a716-446655440001
Deployment:   deployment-1
Event:        event-1

To look further:
    berth status 550e8400-e29b-41d4-a716-446655440001
    berth events 550e8400-e29b-41d4-a716-446655440001
    berth deployments 550e8400-e29b-41d4-a716-446655440001 deployment-1
    berth logs 550e8400-e29b-41d4-a716-446655440001

Sent by Berth. To end it: berth notify rm channel-1
`
			if strings.TrimSpace(body) != strings.TrimSpace(want) {
				t.Errorf("body:\n%s", body)
			}
		})
	}
}

func TestAMailServerThatCannotEncryptOrProveItselfGetsNeitherMailNorPassword(t *testing.T) {
	asked := false
	auth := func() error { asked = true; return nil }
	clear := post(t, &testbed.Post{User: "berth", Password: password, Clear: true, Auth: auth})
	demanding := to(clear)
	demanding.TLS = notify.StartTLS
	stranger := post(t, &testbed.Post{User: "berth", Password: password, Auth: auth})
	trusting := to(stranger)
	trusting.Roots = nil
	implicit := to(post(t, &testbed.Post{User: "berth", Password: password, Auth: auth, Implicit: true}))
	implicit.Roots = clear.Roots
	for what, c := range map[string]notify.MailConfig{"STARTTLS": demanding, "certificate": trusting, "signed by unknown authority": implicit} {
		if a := send(t, c); a.Err == nil || a.Gone || !strings.Contains(a.Err.Error(), what) {
			t.Errorf("%s: %+v", what, a)
		}
	}
	if n := len(clear.Messages()) + len(stranger.Messages()); n != 0 || asked {
		t.Errorf("%d messages, asked for the password: %v", n, asked)
	}
}

func TestAMailServerOnThisMachineMayDoWithoutEncryption(t *testing.T) {
	p := post(t, &testbed.Post{Clear: true})
	if a := send(t, to(p)); a.Err != nil || len(p.Messages()) != 1 {
		t.Errorf("%+v, %d messages", a, len(p.Messages()))
	}
}

func TestOnlyAnAnswerThatThereIsNoSuchRecipientEndsAChannel(t *testing.T) {
	none := smtp.NoEnhancedCode
	for _, c := range []struct {
		code     int
		enhanced smtp.EnhancedCode
		gone     bool
	}{
		{550, smtp.EnhancedCode{5, 1, 1}, true}, {550, none, true}, {551, none, true}, {553, smtp.EnhancedCode{5, 1, 3}, true}, {550, smtp.EnhancedCode{5, 2, 1}, true},
		{550, smtp.EnhancedCode{5, 7, 1}, false}, // it does not relay for us
		{554, none, false}, {552, smtp.EnhancedCode{5, 2, 2}, false}, {450, smtp.EnhancedCode{4, 2, 1}, false}, {450, none, false},
	} {
		refuse := func() error { return &smtp.SMTPError{Code: c.code, EnhancedCode: c.enhanced, Message: "no"} }
		p := post(t, &testbed.Post{Rcpt: func(string) error { return refuse() }})
		if a := send(t, to(p)); a.Err == nil || a.Gone != c.gone || a.StatusCode != c.code {
			t.Errorf("%d %v: %+v", c.code, c.enhanced, a)
		}
		if c.gone {
			continue
		}
		p = post(t, &testbed.Post{Data: func([]byte) error { return refuse() }})
		if a := send(t, to(p)); a.Err == nil || a.Gone || a.StatusCode != c.code {
			t.Errorf("%d %v for the message: %+v", c.code, c.enhanced, a)
		}
	}
}

func (w *world) runMail(c notify.MailConfig, log *slog.Logger) (stop func()) {
	return w.run(notify.Config{Log: log, Senders: map[berth.ChannelType]notify.Sender{berth.ChannelEmail: notify.NewMail(c)}})
}

func TestMailThatIsRefusedForNowIsSentAgainAsTheSameMessage(t *testing.T) {
	w := newWorld(t)
	var n atomic.Int64
	var first atomic.Pointer[[]byte]
	p := post(t, &testbed.Post{Data: func(message []byte) error {
		if n.Add(1) == 1 {
			first.Store(&message)
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
		}
		return nil
	}})
	id := w.mailbox("ops@example.com")
	w.event(berth.EventUnhealthy)
	defer w.runMail(to(p), nil)()
	w.until("a first attempt", func() bool { l := w.deliveries(id); return len(l) == 1 && l[0].Attempt == 1 })
	if d := w.deliveries(id)[0]; d.State != berth.DeliveryPending || d.StatusCode != 451 || !strings.Contains(d.Error, "later") {
		t.Errorf("after a refusal: %+v", d)
	}
	w.skip.Store(int64(time.Minute))
	w.until("delivered", func() bool { return w.deliveries(id)[0].State == berth.DeliveryDelivered })
	if l := p.Messages(); len(l) != 1 || !bytes.Equal(l[0].Text, *first.Load()) {
		t.Errorf("first\n%s\nthen %d messages\n%s", *first.Load(), len(l), l[0].Text)
	}
	if c := w.stored(id); c.LastError != "" || !c.FailingSince.IsZero() {
		t.Errorf("%+v", c)
	}
}

func TestARejectedRecipientDisablesItsChannel(t *testing.T) {
	w := newWorld(t)
	p := post(t, &testbed.Post{Rcpt: func(string) error {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}})
	id := w.mailbox("nobody@example.com")
	w.event(berth.EventUnhealthy)
	defer w.runMail(to(p), nil)()
	w.until("failed", func() bool { l := w.deliveries(id); return len(l) == 1 && l[0].State == berth.DeliveryFailed })
	if c := w.stored(id); c.Enabled || !strings.Contains(c.LastError, "no such user") {
		t.Errorf("%+v", c)
	}
}

func TestAMailServerThatHangsCostsNoMoreThanTheAttempt(t *testing.T) {
	// silent accepts and says nothing, which also is a TLS handshake that hangs.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() // nothing is lost with it
	reached, release := make(chan struct{}, 6), make(chan struct{})
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		var open []net.Conn
		for {
			c, err := silent.Accept()
			if err != nil {
				break
			}
			open = append(open, c)
			reached <- struct{}{}
		}
		for _, c := range open {
			_ = c.Close()
		}
	}()
	greeting := notify.MailConfig{Host: "127.0.0.1", Port: silent.Addr().(*net.TCPAddr).Port, From: "berth@example.com", TLS: notify.StartTLS}
	handshake := greeting
	handshake.TLS = notify.ImplicitTLS
	p := post(t, &testbed.Post{Data: func([]byte) error {
		reached <- struct{}{}
		<-release
		return nil
	}})
	defer close(release)
	for what, c := range map[string]notify.MailConfig{"greeting": greeting, "handshake": handshake, "message": to(p)} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan notify.Attempt, 1)
		go func() { ended <- notify.NewMail(c).Send(ctx, mailChannel(), delivery("Acme")) }()
		<-reached
		cancel()
		select {
		case a := <-ended:
			if !errors.Is(a.Err, context.Canceled) || a.Gone || a.StatusCode != 0 {
				t.Errorf("%s: %+v", what, a)
			}
		case <-time.After(5 * time.Second): // half of what the library would take
			t.Fatalf("%s: it goes on after its ctx ended", what)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		if a := notify.NewMail(c).Send(ctx, mailChannel(), delivery("Acme")); !errors.Is(a.Err, context.DeadlineExceeded) {
			t.Errorf("%s: %+v", what, a)
		}
		cancel()
		select {
		case <-reached:
		default:
		}
	}
	_ = silent.Close()
	<-accepted
}

func TestAMailServerThatNeverStopsTalkingIsLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close() // it was broken off
		out := bufio.NewWriter(c)
		for err == nil {
			_, err = out.WriteString("220-" + strings.Repeat("x", 500) + "\r\n")
		}
	}()
	c := notify.MailConfig{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, From: "berth@example.com", TLS: notify.NoTLS}
	if a := send(t, c); a.Err == nil || !strings.Contains(a.Err.Error(), "says too much") {
		t.Errorf("%+v", a)
	}
	<-ended
	_ = l.Close()
}

func TestAMessageThatWasTakenIsDeliveredHoweverTheConnectionEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close() // with the message taken
		say := func(line string) { _, _ = io.WriteString(c, line+"\r\n") }
		say("220 post.test")
		for in := bufio.NewScanner(c); in.Scan(); {
			switch line := in.Text(); {
			case line == ".":
				say("250 taken")
				return
			case line == "DATA":
				say("354 go on")
			case strings.HasPrefix(line, "EHLO"), strings.HasPrefix(line, "MAIL"), strings.HasPrefix(line, "RCPT"):
				say("250 yes")
			}
		}
	}()
	c := notify.MailConfig{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, From: "berth@example.com", TLS: notify.NoTLS}
	if a := send(t, c); a.Err != nil || a.StatusCode != 250 {
		t.Errorf("%+v", a)
	}
	<-ended
	_ = l.Close()
}

func TestATenantsNameAddsNoHeaderNoRecipientAndNoLine(t *testing.T) {
	p := post(t, &testbed.Post{})
	names := []string{
		"Evil\r\nBcc: victim@example.com\r\n\r\nClick here", "Evil\nX-Injected: yes", "Evil\u2028\u202eX", "Ünïcode 🚢", strings.Repeat("long ", 400), "=?utf-8?q?x=0D=0AX-Injected:_y?=",
	}
	for _, name := range names {
		d := delivery(name)
		if a := notify.NewMail(to(p)).Send(t.Context(), mailChannel(), d); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	plain := post(t, &testbed.Post{})
	if a := send(t, to(plain)); a.Err != nil {
		t.Fatal(a.Err)
	}
	ordinary, _ := read(t, plain.Messages()[0])
	want := slices.Sorted(maps.Keys(ordinary))
	for i, l := range p.Messages() {
		header, body := read(t, l)
		if got := slices.Sorted(maps.Keys(header)); !slices.Equal(got, want) || len(l.To) != 1 {
			t.Errorf("%q: headers %q, to %q", names[i], got, l.To)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
		if err != nil || strings.ContainsAny(subject, "\r\n\u2028\u202e") || !strings.HasPrefix(subject, "[Berth] ") || len([]rune(subject)) > 150 {
			t.Errorf("%q: subject %q, %v", names[i], subject, err)
		}
		if strings.Contains(body, "\nBcc:") || strings.Contains(body, "\nX-Injected") || strings.ContainsRune(body, '\u202e') {
			t.Errorf("%q: body\n%s", names[i], body)
		}
		for line := range strings.SplitSeq(string(l.Text), "\r\n") {
			if len(line) > 998 {
				t.Errorf("%q: a line of %d", names[i], len(line))
			}
		}
	}
	if header, _ := read(t, p.Messages()[3]); !strings.Contains(header.Get("Subject"), "=?UTF-8?") {
		t.Errorf("subject %q", header.Get("Subject"))
	}
}

func TestAWrongPasswordIsSaidInBerthsWords(t *testing.T) {
	p := post(t, &testbed.Post{User: "berth", Password: password})
	c := to(p)
	c.Password = "another"
	if a := send(t, c); a.Err == nil || a.Err.Error() != "the mail server refused the user or the password (535)" || a.StatusCode != 535 || a.Gone {
		t.Errorf("%+v", a)
	}
}

func TestThePasswordIsInNoErrorAndNoLog(t *testing.T) {
	echo := func(text string) error {
		return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: text}
	}
	encoded := base64.StdEncoding.EncodeToString([]byte("\x00berth\x00" + password))
	for what, p := range map[string]*testbed.Post{
		"login":     {Auth: func() error { return echo("bad: " + password) }},
		"encoded":   {Auth: func() error { return echo("bad: AUTH PLAIN " + encoded) }},
		"recipient": {Rcpt: func(string) error { return echo("you said " + password) }},
		"message":   {Data: func([]byte) error { return echo("you said " + encoded) }},
	} {
		w := newWorld(t)
		p.User, p.Password = "berth", password
		p = post(t, p)
		var log bytes.Buffer
		id := w.mailbox("ops@example.com")
		w.event(berth.EventUnhealthy)
		stop := w.runMail(to(p), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		for n := 1; n <= berth.DeliveryAttempts; n++ {
			w.until("an attempt", func() bool { l := w.deliveries(id); return len(l) == 1 && l[0].Attempt >= n })
			w.skip.Add(int64(7 * time.Hour))
		}
		w.until("given up", func() bool { return w.deliveries(id)[0].State == berth.DeliveryFailed })
		stop()
		said := log.String() + w.deliveries(id)[0].Error + w.stored(id).LastError
		if strings.Contains(said, password) || strings.Contains(said, encoded) || !strings.Contains(said, "given up") || w.deliveries(id)[0].StatusCode != 535 {
			t.Errorf("%s: %s, %+v", what, said, w.deliveries(id)[0])
		}
	}
}
