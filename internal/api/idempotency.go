package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/idempotency"
	"github.com/unite-hub/berth/internal/pattern"
	"github.com/unite-hub/berth/internal/tenancy"
)

const (
	keyHeader  = "Idempotency-Key"
	keyPattern = "^[!-~ ]*$"
	longestKey = 255 // bytes

	// bodyTime is how long a request's body may take to come.
	bodyTime = 10 * time.Second
)

var validKey = pattern.Of(keyPattern)

// keyless are the mutations that need no key, each with its reason.
var keyless = map[string]bool{
	"health-check": true, // changes nothing but what is known
	"backup":       true, // changes nothing, and its answer must not lie in what it copies
}

// sealed are those whose answer holds a secret: it is stored encrypted.
var sealed = map[string]bool{
	"create-token": true, "create-notification": true, "invite": true, "invite-operator": true,
}

// keyedKey is the context's key of an order's idempotency.Request.
type keyedKey struct{}

// takesKey reports whether a mutation is done once under a key.
func takesKey(op huma.Operation) bool { return changes(op.Method) && !keyless[op.OperationID] }

// isOrder reports whether a route takes an order, by its input.
func isOrder(in any) bool {
	_, order := in.(interface{ call(string) tenancy.Call })
	return order
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

// once has a request with an idempotency key done once.
func (s *server) once(order bool) func(huma.Context, func(huma.Context)) {
	return func(hctx huma.Context, next func(huma.Context)) {
		if hctx.Header(keyHeader) == "" {
			next(hctx)
			return
		}
		actor, _ := hctx.Context().Value(actorKey{}).(berth.Actor)
		q, body, err := keyed(hctx, actor, order)
		if err != nil {
			writeHuma(hctx, problemFrom(err))
			return
		}
		ctx, k := context.WithoutCancel(hctx.Context()), &keptAnswer{whole: hctx, in: body}
		a, err := s.Service.Once(ctx, actor, q, func() (idempotency.Answer, idempotency.End) {
			next(huma.WithValue(k, keyedKey{}, q))
			return idempotency.Answer{Status: k.status, Body: k.body.Bytes()}, endOf(q, k)
		})
		if a == nil {
			writeHuma(hctx, s.problem(ctx, err))
			return
		}
		if err != nil {
			at := hctx.URL() // it names the tenant
			s.Log.Warn("answer could not be remembered", "operation", hctx.Operation().OperationID, "path", at.Path, "error", err)
		}
		k.answer(*a)
	}
}

// keyed reads a request that has a key. A person acts for several organizations,
// and in other roles later: what they were answered as one of these is not
// repeated for another. To repeat the answer to an order takes what the order took.
func keyed(hctx huma.Context, actor berth.Actor, order bool) (q idempotency.Request, body []byte, err error) {
	if body, err = readBody(hctx); err != nil {
		return q, nil, err
	}
	q = idempotency.Request{Key: hctx.Header(keyHeader), Order: order, Sealed: sealed[hctx.Operation().OperationID]}
	if len(q.Key) > longestKey || !validKey().MatchString(q.Key) {
		return q, nil, berth.Errorf(berth.CodeInvalidRequest, "Invalid %s", keyHeader).WithField(keyHeader).
			WithHint("give at most %d printable ASCII characters", longestKey)
	}
	var as []string
	if !order {
		as = []string{actor.OrganizationID, string(actor.Role)}
	}
	q.Fingerprint = fingerprint(hctx.Method(), hctx.URL(), body, as...)
	return q, body, nil
}

// endOf says how far a request came, by its answer. After an error of Berth's own
// nobody knows what was changed.
func endOf(q idempotency.Request, k *keptAnswer) idempotency.End {
	if k.status < http.StatusMultipleChoices {
		if q.Order && k.status == http.StatusAccepted {
			return idempotency.Pending
		}
		return idempotency.Done
	}
	var p problem
	if err := json.Unmarshal(k.body.Bytes(), &p); err != nil {
		return idempotency.Unknown
	}
	switch code := berth.Code(p.Code); {
	case code == berth.CodeOutcomeUnknown, code.Kind() == berth.KindInternal && k.status >= http.StatusInternalServerError:
		return idempotency.Unknown
	case q.Order && code == berth.CodeDeploymentFailed:
		return idempotency.Done // it was recorded, and this is how it ended
	}
	return idempotency.Refused
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

// keptAnswer is a request whose body was read, and whose answer is kept until it
// is stored.
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

func (k *keptAnswer) answer(a idempotency.Answer) {
	switch {
	case a.Status >= http.StatusBadRequest:
		k.SetHeader("Content-Type", "application/problem+json")
	case len(a.Body) > 0:
		k.SetHeader("Content-Type", "application/json")
	}
	k.whole.SetStatus(a.Status)
	_, _ = k.whole.BodyWriter().Write(a.Body) // the client may be gone
}
