package edge

import (
	"io"
	"net/http"
	"strings"
)

// forwards reports whether a header speaks for who sent or forwarded the
// request. A gateway interface turns both "-" and "_" into "_", so that either
// spelling would be believed.
func forwards(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return strings.HasPrefix(name, "x-forwarded") || name == "forwarded" || name == "x-real-ip"
}

// forwardsAtEnd is claims for a trailer, which some programs take for a header:
// it must not name another host either.
func forwardsAtEnd(name string) bool {
	folded := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return forwards(name) || folded == "host" || strings.HasSuffix(folded, "-host")
}

// passTrailers gives out the trailers that in declares and that claim nothing.
// Their values are known when in's body has ended: net/http puts them into
// in.Trailer then, with whatever the client did not declare.
func passTrailers(in, out *http.Request) {
	out.Trailer = nil
	if len(in.Trailer) == 0 || out.Body == nil {
		return
	}
	pass := make(http.Header, len(in.Trailer))
	for name := range in.Trailer {
		if !forwardsAtEnd(name) {
			pass[name] = nil
		}
	}
	if len(pass) == 0 {
		return
	}
	out.Trailer = pass
	out.Body = &trailedBody{ReadCloser: out.Body, from: in, to: pass}
}

// trailedBody fills to in the goroutine that reads the body, before that one
// sees the end.
type trailedBody struct {
	io.ReadCloser
	from *http.Request
	to   http.Header
}

func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.to {
			b.to[name] = b.from.Trailer[name]
		}
	}
	return n, err
}
