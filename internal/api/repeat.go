package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

const (
	keyHeader  = "Idempotency-Key"
	keyPattern = "^[!-~ ]*$"
	longestKey = 255 // bytes

	// bodyTime is how long a request's body may take to come.
	bodyTime = 10 * time.Second
)

var validKey = regexp.MustCompile(keyPattern)

// keyless are the mutations that need no key, each with its reason.
var keyless = map[string]bool{
	"health-check": true, // changes nothing but what is known
	"backup":       true, // changes nothing, and its answer must not lie in what it copies
}

// sealed are those whose answer holds a secret: it is stored encrypted.
var sealed = map[string]bool{
	"create-token": true, "create-notification": true, "invite": true, "invite-operator": true,
}

// keeps reports whether the answer to a route is kept here. Orders keep theirs
// themselves, in their own transaction.
func keeps(op huma.Operation, in any) bool {
	_, order := in.(interface{ call(string) tenancy.Call })
	return changes(op.Method) && !order && !keyless[op.OperationID]
}

func keyParameter() *huma.Param {
	most := longestKey
	return &huma.Param{
		Name: keyHeader, In: "header", Description: "the same key repeats the first answer",
		Schema: &huma.Schema{Type: "string", MaxLength: &most, Pattern: keyPattern},
	}
}

// fingerprint is what identifies a request under its key. more is what it
// depends on besides.
func fingerprint(method string, u url.URL, body []byte, more ...string) []byte {
	query := u.Query()
	query.Del("wait") // how long a client waits does not change what it asks for
	h := sha256.New()
	for _, part := range append([]string{method, u.Path, query.Encode(), string(body)}, more...) {
		_, _ = h.Write(append([]byte(part), 0)) // a hash never fails
	}
	return h.Sum(nil)
}

// repeatable has a request with an idempotency key done once. The key is
// claimed first; the answer is stored before it is given. A request that was
// refused changed nothing and leaves its key free.
func (s *server) repeatable(hctx huma.Context, next func(huma.Context)) {
	key := hctx.Header(keyHeader)
	actor, _ := hctx.Context().Value(actorKey{}).(berth.Actor)
	if key == "" {
		next(hctx)
		return
	}
	body, err := readBody(hctx)
	if err == nil && (len(key) > longestKey || !validKey.MatchString(key)) {
		err = berth.Errorf(berth.CodeInvalidRequest, "Invalid %s", keyHeader).WithField(keyHeader).
			WithHint("give at most %d printable ASCII characters", longestKey)
	}
	if err != nil {
		writeHuma(hctx, problemFrom(err))
		return
	}
	ctx, op := context.WithoutCancel(hctx.Context()), hctx.Operation().OperationID
	// A person acts for several organizations, and in other roles later: what they
	// were answered as one of these is not repeated for another.
	claim := tenancy.Claim{Key: key, Sealed: sealed[op], Fingerprint: fingerprint(hctx.Method(), hctx.URL(), body, actor.OrganizationID, string(actor.Role))}
	first, err := s.Service.Claim(ctx, actor, claim)
	if err != nil {
		writeHuma(hctx, s.problem(ctx, err))
		return
	}
	if first != nil {
		(&keptAnswer{whole: hctx, status: first.Status, body: *bytes.NewBuffer(first.Body)}).answer()
		return
	}
	k := &keptAnswer{whole: hctx, in: body}
	next(k)
	if err := s.settle(ctx, actor, claim, k); err != nil {
		// The work is done: the answer is due.
		s.Log.Warn("answer could not be remembered", "operation", op, "error", err)
	}
	k.answer()
}

// settle stores the final answer to a claimed request, or frees its key. After
// an error of Berth's own nobody knows what was changed: the claim stays.
func (s *server) settle(ctx context.Context, actor berth.Actor, c tenancy.Claim, k *keptAnswer) error {
	if k.status < http.StatusMultipleChoices {
		return s.Service.Settle(ctx, actor, c, tenancy.Answer{Status: k.status, Body: k.body.Bytes()})
	}
	var p problem
	if err := json.Unmarshal(k.body.Bytes(), &p); err != nil {
		return err
	}
	if code := berth.Code(p.Code); code.Kind() == berth.KindInternal && k.status >= http.StatusInternalServerError || code == berth.CodeOutcomeUnknown {
		return nil
	}
	return s.Service.Release(ctx, actor, c)
}

func readBody(hctx huma.Context) ([]byte, error) {
	most := hctx.Operation().MaxBodyBytes
	if most == 0 {
		most = maxBody + 1
	}
	_ = hctx.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(io.LimitReader(hctx.BodyReader(), most))
	_ = hctx.SetReadDeadline(time.Time{})
	if err == nil && int64(len(body)) == most {
		return nil, tooLarge(most - 1)
	}
	if err != nil {
		return nil, malformed("Request body can't be read").WithHint("send it again")
	}
	return body, nil
}

// whole is a huma.Context under a name that can be embedded: it has a method
// Context.
type whole huma.Context

// keptAnswer is a request whose body was read, and whose answer is kept until it is
// stored.
type keptAnswer struct {
	whole
	in     []byte
	status int
	body   bytes.Buffer
}

// Unwrap is how huma's adapter finds its own.
func (k *keptAnswer) Unwrap() huma.Context  { return k.whole }
func (k *keptAnswer) BodyReader() io.Reader { return bytes.NewReader(k.in) }
func (k *keptAnswer) SetStatus(status int)  { k.status = status }
func (k *keptAnswer) Status() int           { return k.status }
func (k *keptAnswer) BodyWriter() io.Writer { return &k.body }

func (k *keptAnswer) answer() {
	switch {
	case k.status >= http.StatusBadRequest:
		k.SetHeader("Content-Type", "application/problem+json")
	case k.body.Len() > 0:
		k.SetHeader("Content-Type", "application/json")
	}
	k.whole.SetStatus(k.status)
	_, _ = k.whole.BodyWriter().Write(k.body.Bytes()) // the client may be gone
}
