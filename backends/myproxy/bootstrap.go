package myproxy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// BootstrapRequest says how to know the server without a trust directory. One of
// the two is needed.
type BootstrapRequest struct {
	// Fingerprint is "sha256:" and 64 hex digits, colons between them allowed,
	// of the certificate of the server itself or of the last one that it sends,
	// usually its CA. It is checked before one byte of the request is sent.
	Fingerprint string
	// Confirm is asked after the files have come and before they are returned;
	// nobody waits for the answer on the other side. Its error is returned as
	// it is.
	Confirm func(ctx context.Context, who ServerChain) error
}

// ServerChain is a server that nobody has verified. Whatever certificates it
// sent are signed by one another and bear its name.
type ServerChain struct {
	Server          string // host:port
	Certificates    []*x509.Certificate
	Fingerprint     string            // of the last certificate, "sha256:…"
	LeafFingerprint string            // of the first
	Files           map[string][]byte // what it sent as trust roots
}

// FingerprintError is a server that has another certificate than the one that
// was expected. It is the cause of a *TrustError; nothing was sent.
type FingerprintError struct {
	Want      string // "sha256:…"
	Got, Leaf string // of the last certificate that it sent, and of the first
}

func (e *FingerprintError) Error() string {
	return fmt.Sprintf("its fingerprint is %s (its own certificate's %s), and not %s", e.Got, e.Leaf, e.Want)
}

// Bootstrap fetches the trust directory of a server that cannot be verified yet
// (command 7). It sends neither a user name nor a pass phrase nor a client
// certificate, and writes nothing. Client.Trust is not asked; the host name (or
// Client.ServerDN), the dates and the signatures within what the server sends
// must be right all the same, because the verified connections to come would
// fail without them.
func (c *Client) Bootstrap(ctx context.Context, req BootstrapRequest) (*TrustRoots, error) {
	want, err := parseFingerprint(req.Fingerprint)
	if err != nil {
		return nil, err
	}
	if want == "" && req.Confirm == nil {
		return nil, &RequestError{Field: fieldFingerprint, Reason: "is missing, and nobody can be asked whether the server is the right one"}
	}
	who := new(ServerChain)
	got, err := c.trustRoots(ctx, &exchange{
		verify: func(_ context.Context, addr string, state tls.ConnectionState) error {
			*who = newServerChain(addr, state.PeerCertificates)
			return who.check(want, c)
		},
	})
	if err != nil {
		return nil, err
	}
	if req.Confirm != nil {
		who.Files = got.Files
		if err := req.Confirm(ctx, *who); err != nil {
			return nil, err
		}
	}
	return got, nil
}

const fieldFingerprint = "fingerprint"

// CheckFingerprint says what is wrong with a fingerprint for BootstrapRequest, as
// a *RequestError.
func CheckFingerprint(s string) error {
	_, err := parseFingerprint(s)
	return err
}

// parseFingerprint brings a fingerprint as people write it into the form that
// this package prints; "" stays.
func parseFingerprint(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	const prefix = "sha256:"
	digits := strings.ToLower(strings.TrimSpace(s))
	digits, ok := strings.CutPrefix(digits, prefix)
	digits = strings.ReplaceAll(digits, ":", "")
	if sum, err := hex.DecodeString(digits); !ok || err != nil || len(sum) != sha256.Size {
		return "", &RequestError{Field: fieldFingerprint, Reason: "is not of the form sha256: and 64 hexadecimal digits"}
	}
	return prefix + digits, nil
}

func newServerChain(addr string, peer []*x509.Certificate) ServerChain {
	return ServerChain{
		Server: addr, Certificates: peer,
		Fingerprint: fingerprint(peer[len(peer)-1]), LeafFingerprint: fingerprint(peer[0]),
	}
}

// check is what can be checked without a trust directory. Without the signatures
// a certificate of a known fingerprint could be sent behind any other.
func (who *ServerChain) check(want string, c *Client) error {
	peer := who.Certificates
	if want != "" && want != who.Fingerprint && want != who.LeafFingerprint {
		return &FingerprintError{Want: want, Got: who.Fingerprint, Leaf: who.LeafFingerprint}
	}
	if err := gsi.VerifyServerName(peer[0], hostName(who.Server), c.ServerDN); err != nil {
		return err
	}
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: c.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	opts.Roots.AddCert(peer[len(peer)-1])
	for _, cert := range peer[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := peer[0].Verify(opts)
	return err
}
