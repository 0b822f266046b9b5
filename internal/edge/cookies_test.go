package edge_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

func ownCookies() []string {
	var list []string
	for _, name := range []string{berth.SessionCookie, berth.SignInCookie, berth.ProofCookie} {
		bare := strings.TrimPrefix(name, "__Host-")
		list = append(list, name, strings.ToLower(name), strings.ToUpper(name), bare, "__Secure-"+bare, "__Http-"+bare, "__Host-Http-"+bare)
	}
	return list
}

func TestTheAPIsCookiesNeverReachATenant(t *testing.T) {
	t.Parallel()
	ask := asking(t, edge.Options{})
	for _, name := range ownCookies() {
		own := name + "=SECRET"
		for _, c := range []struct {
			name string
			sent []string
			want []string
		}{
			{"alone", []string{own}, nil},
			{"first", []string{own + "; a=1"}, []string{"a=1"}},
			{"last", []string{"a=1; " + own}, []string{"a=1"}},
			{"between", []string{"a=1; " + own + "; b=2"}, []string{"a=1; b=2"}},
			{"twice", []string{own + "; a=1; " + own}, []string{"a=1"}},
			{"without a space", []string{"a=1;" + own + ";b=2"}, []string{"a=1;b=2"}},
			{"with spaces", []string{"a=1;  " + name + " = SECRET ; b=2"}, []string{"a=1; b=2"}},
			{"with tabs", []string{"a=1;\t" + own + "\t; b=2"}, []string{"a=1; b=2"}},
			{"quoted", []string{"a=1; " + name + `="SECRET"`}, []string{"a=1"}},
			{"inside a lone quote", []string{`a="; ` + own + `; b="`}, []string{`a="; b="`}},
			{"in several headers", []string{"a=1", own, "b=2; " + own}, []string{"a=1", "b=2"}},
			{"without a name before", []string{"=" + own + "; a=1"}, []string{"a=1"}},
			{"no value", []string{name + "; a=1"}, []string{"a=1"}},
			{"joined by a comma", []string{"a=1, " + own + "; b=2", own + ", c=3,d"}, []string{"a=1; b=2", "c=3,d"}},
			{"empty parts", []string{";; " + own + ";; a=1"}, []string{";;; a=1"}},
		} {
			var b strings.Builder
			for _, v := range c.sent {
				b.WriteString("Cookie: " + v + "\r\n")
			}
			got := ask("GET / HTTP/1.1\r\nHost: a\r\n" + b.String() + "\r\n").Header["Cookie"]
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: %q, want %q", name, c.name, got, c.want)
			}
		}
	}
}

func TestATenantsOwnCookiesPassByteForByte(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"a=1;b=2 ;  c", `x="__Host-berth-session=1"`, "my-__Host-berth-session=1", "berth-session-theme=dark; berth=1", ";", "=", "a=1,2; b=,", "a=b=__Host-berth-session"} {
		got := asked(t, edge.Options{}, "GET / HTTP/1.1\r\nHost: a\r\nCookie: "+sent+"\r\n\r\n").Header["Cookie"]
		if want := strings.TrimSpace(sent); !slices.Equal(got, []string{want}) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestATenantCanNotSetTheAPIsCookies(t *testing.T) {
	t.Parallel()
	sets := []string{"kept=1; Path=/"}
	for _, name := range ownCookies() {
		sets = append(sets, name+"=evil; Path=/; Secure", " "+name+" =evil", name+"=; Max-Age=0", "="+name+"=evil", name)
	}
	port := serving(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/hints":
			h["Set-Cookie"] = sets
			w.WriteHeader(http.StatusEarlyHints)
			h.Del("Set-Cookie")
		case "/declared", "/undeclared": // Go's server would refuse to
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
			if r.URL.Path == "/declared" {
				head += "Trailer: Set-Cookie, X-Sum\r\n"
			}
			io.WriteString(c, head+"\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\nSet-Cookie: "+strings.Join(sets[:30], "\r\nSet-Cookie: ")+"\r\n\r\n")
		case "/switch":
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, strings.TrimSuffix(switches, "\r\n")+"Set-Cookie: "+strings.Join(sets, "\r\nSet-Cookie: ")+"\r\n\r\n")
		default:
			h["Set-Cookie"] = sets
		}
	})
	for _, path := range []string{"/", "/hints", "/declared", "/undeclared"} {
		var got []string
		req, _ := http.NewRequest("GET", url(port, path), nil)
		req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			got = append(got, h["Set-Cookie"]...)
			return nil
		}}))
		res, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.Trailer != nil && res.Trailer.Get("X-Sum") != "1" {
			t.Errorf("%s: the trailer is %v", path, res.Trailer)
		}
		if path == "/declared" && res.Trailer["Set-Cookie"] == nil {
			got = append(got, sets[0]) // net/http lets no cookie be declared
		}
		got = append(append(got, res.Header["Set-Cookie"]...), res.Trailer["Set-Cookie"]...)
		if !slices.Equal(got, []string{"kept=1; Path=/"}) {
			t.Errorf("%s: %q", path, got)
		}
	}
	c := dial(t, port)
	io.WriteString(c, strings.Replace(upgrade, "GET / ", "GET /switch ", 1))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 101 || !slices.Equal(res.Header["Set-Cookie"], []string{"kept=1; Path=/"}) {
		t.Errorf("%v %v", res, err)
	}
}
