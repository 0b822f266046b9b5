package edge_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/unite-hub/berth/internal/edge"
)

func BenchmarkRequest(b *testing.B) {
	port := freePort(b)
	up := backend(b, says("hello"))
	e, _ := running(b, edge.Options{})
	apply(b, e, route(port, up))
	for name, target := range map[string]string{"direct": "http://" + up.String() + "/", "edge": url(port, "/")} {
		b.Run(name, func(b *testing.B) {
			c := client(b)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					res, err := c.Get(target)
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
						b.Error(res.StatusCode, err)
					}
					res.Body.Close()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}
