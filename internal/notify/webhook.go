package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// SecretPrefix begins the text of a signing secret.
const SecretPrefix = "whsec_"

// mostAnswered is how much of an answer is read, so that the connection can be
// used again; the rest is of no interest.
const mostAnswered = 4 << 10

// Secrets opens what is stored encrypted.
type Secrets interface {
	Open(ciphertext []byte, ad string) ([]byte, error)
}

// Webhook sends by HTTP, signed as Standard Webhooks describe.
type Webhook struct {
	secrets Secrets
	client  http.Client
	now     func() time.Time
}

// NewWebhook returns a Webhook that connects with dial.
func NewWebhook(secrets Secrets, now func() time.Time, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Webhook {
	return &Webhook{secrets: secrets, now: now, client: http.Client{
		Transport: &http.Transport{
			DialContext: dial, Proxy: nil, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send implements Sender.
func (w *Webhook) Send(ctx context.Context, c store.StoredChannel, d berth.Delivery) Attempt {
	plaintext, err := w.secrets.Open(c.Ciphertext, berth.ChannelContext(c.ID))
	if err != nil {
		return Attempt{Err: errors.New("what is stored of the channel can't be opened: its key is missing")}
	}
	sealed, _, err := berth.ParseSealedWebhook(plaintext, c.Target)
	if err != nil {
		return Attempt{Err: errors.New("what is stored of the channel can't be read")}
	}
	at := strconv.FormatInt(w.now().Unix(), 10)
	signature, err := Sign(sealed.Secret, d.ID, at, d.Body)
	if err != nil {
		return Attempt{Err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, sealed.URL, bytes.NewReader(d.Body))
	if err != nil {
		return Attempt{Err: errors.New("the URL can't be used")}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "berth")
	r.Header.Set("webhook-id", d.ID)
	r.Header.Set("webhook-timestamp", at)
	r.Header.Set("webhook-signature", signature)
	answer, err := w.client.Do(r)
	if err != nil {
		return Attempt{Err: reason(err)}
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.CopyN(io.Discard, answer.Body, mostAnswered) // the status is the answer
	if answer.StatusCode/100 == 2 {
		return Attempt{StatusCode: answer.StatusCode}
	}
	return Attempt{StatusCode: answer.StatusCode, Gone: answer.StatusCode == http.StatusGone, Err: fmt.Errorf("the receiver answered %d", answer.StatusCode)}
}

// Sign returns the value of the header webhook-signature.
func Sign(secret, id, timestamp string, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, SecretPrefix))
	if err != nil {
		return "", errors.New("the signing secret is damaged")
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body) // a hash takes everything
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}
