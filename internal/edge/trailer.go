package edge

import (
	"io"
	"net/http"
)

// passTrailers gives out the trailers that in declares and that may pass. Their
// values are known when in's body has ended: net/http puts them into in.Trailer
// then, with whatever the client did not declare.
func (h *headers) passTrailers(in, out *http.Request) {
	out.Trailer = nil
	if len(in.Trailer) == 0 || out.Body == nil {
		return
	}
	pass := make(http.Header, len(in.Trailer))
	for name := range in.Trailer {
		if h.atEnd(name) {
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
