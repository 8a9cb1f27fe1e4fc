package rcauth

import (
	"crypto/x509"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// timed adds up the time that requests take: network, TLS and the portal's work.
type timed struct {
	http.RoundTripper
	spent atomic.Int64
}

func (r *timed) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := r.RoundTripper.RoundTrip(req)
	r.spent.Add(int64(time.Since(began)))
	return resp, err
}

// BenchmarkGetByRefresh is a get that has to ask the portal; own-ms is what is
// ours of it, all but the requests.
func BenchmarkGetByRefresh(b *testing.B) {
	g := newGrid(b, "")
	g.config = "ca_file = \"" + g.portalCA(b) + "\""
	g.Helper = g.newHelper(b, g.keys)
	var portal timed
	g.backend.opts.HTTP = func(roots *x509.CertPool) *http.Client {
		c := NewHTTPClient(roots)
		portal.RoundTripper = c.Transport
		return &http.Client{Transport: &portal}
	}
	g.login(b)
	portal.spent.Store(0)
	for b.Loop() {
		g.get(b)
	}
	own := b.Elapsed() - time.Duration(portal.spent.Load())
	b.ReportMetric(float64(own.Microseconds())/1000/float64(b.N), "own-ms/op")
}
