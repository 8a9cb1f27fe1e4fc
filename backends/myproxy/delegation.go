package myproxy

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// DelegationRequest is what GetDelegation asks for. LogonRequest.CSR must be
// nil.
type DelegationRequest struct {
	LogonRequest
	// Request is a PKCS#10 request in DER or PEM, whose key stays with the
	// caller. It wins over Key, and Key over KeyKind and KeyBits.
	Request []byte
	Key     crypto.Signer
	// KeyKind is the kind of key to make, default RSA-2048. KeyBits, 2048, 3072
	// or 4096, says the same of an RSA key.
	KeyKind gsi.KeyType
	KeyBits int
	// Limited asks for a limited proxy; a server that gives another one is an
	// error.
	Limited bool
	// Bootstrap, if set, first fetches trust roots over a connection that is not
	// verified, and installs them in TrustRootsDir. The logon then runs on a
	// second connection, verified against that directory in place of
	// Client.Trust.
	Bootstrap *BootstrapRequest
	// UpdateTrustRoots installs the server's trust roots in TrustRootsDir, as far
	// as TrustRootsMode allows: by its zero value, UpdateOnly, nobody new is
	// trusted. See InstallTrustRoots.
	UpdateTrustRoots bool
	TrustRootsMode   InstallMode
	TrustRootsDir    string
}

// Delegation is a credential that was verified: the key, every signature of the
// chain, RFC 3820's rules and the dates.
type Delegation struct {
	*gsi.Credential           // Key is nil where DelegationRequest.Request was given
	Info            *gsi.Info // of the chain

	Server     string
	Unanswered []*HostError
	TrustRoots map[string][]byte // see LogonResult
	Anonymous  error             // see LogonResult
	// Installed is what was done in TrustRootsDir; nil where nothing was asked
	// for, or the server has no trust roots.
	Installed *Installed
}

// GetDelegation is Logon with a key and verification: what most callers want. A
// server that leaves out what was asked for, a limited proxy, VOMS attributes,
// the identity of the credential to renew, is a *CertificateError. That the
// lifetime is shorter is not: see Info.NotAfter. Where only the installation of
// the trust roots failed, the new credential comes together with that error.
func (c *Client) GetDelegation(ctx context.Context, req DelegationRequest) (*Delegation, error) {
	key, err := req.prepare(ctx)
	if err != nil {
		return nil, err
	}
	if req.Bootstrap != nil {
		if c, err = c.bootstrapped(ctx, &req); err != nil {
			return nil, err
		}
	}
	logon := req.LogonRequest
	logon.CSR = key.csr
	logon.TrustRoots = logon.TrustRoots || req.UpdateTrustRoots
	got, err := c.Logon(ctx, logon)
	if err != nil {
		return nil, err
	}
	d := &Delegation{
		Credential: &gsi.Credential{Chain: got.Chain, Key: key.signer},
		Server:     got.Server, Unanswered: got.Unanswered, TrustRoots: got.TrustRoots, Anonymous: got.Anonymous,
	}
	if err := d.verify(&req, key.public, gsi.VerifyOptions{Now: c.now(), AllowSHA1: c.TrustOptions.AllowSHA1}); err != nil {
		return nil, err
	}
	if req.UpdateTrustRoots && len(got.TrustRoots) > 0 {
		done, err := InstallTrustRoots(ctx, req.TrustRootsDir, got.TrustRoots, req.TrustRootsMode)
		if err != nil {
			return d, err
		}
		d.Installed = &done
	}
	return d, nil
}

// bootstrapped fetches and installs trust roots, and returns a client that
// trusts nothing else.
func (c *Client) bootstrapped(ctx context.Context, req *DelegationRequest) (*Client, error) {
	roots, err := c.Bootstrap(ctx, *req.Bootstrap)
	if err != nil {
		return nil, err
	}
	if len(roots.Files) == 0 {
		return nil, &ProtocolError{Server: roots.Server, Reason: "has no trust roots to give"}
	}
	if _, err := InstallTrustRoots(ctx, req.TrustRootsDir, roots.Files, All); err != nil {
		return nil, err
	}
	dir := req.TrustRootsDir
	verified := *c
	verified.Trust = func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(dir) }
	return &verified, nil
}

// delegationKey is the key of a certificate request, or who has it.
type delegationKey struct {
	signer crypto.Signer    // nil: the caller has it
	public crypto.PublicKey // nil until csr was called
	csr    func(context.Context) ([]byte, error)
}

// prepare checks the request and starts to make the key.
func (r *DelegationRequest) prepare(ctx context.Context) (*delegationKey, error) {
	if r.CSR != nil {
		return nil, &RequestError{Field: fieldCSR, Reason: "is made by GetDelegation itself: give Request or Key"}
	}
	// Before a bootstrap installs anything for it.
	message, err := r.request()
	if err != nil {
		return nil, err
	}
	text, err := message.encode()
	if err != nil {
		return nil, err
	}
	clear(text)
	if (r.UpdateTrustRoots || r.Bootstrap != nil) && !filepath.IsAbs(r.TrustRootsDir) {
		return nil, &RequestError{Field: "directory for trust roots", Reason: "is not an absolute path"}
	}
	k := new(delegationKey)
	switch {
	case len(r.Request) > 0:
		csr, err := parseRequest(r.Request)
		if err != nil {
			return nil, err
		}
		k.public = csr.PublicKey
		k.csr = func(context.Context) ([]byte, error) { return csr.Raw, nil }
	case r.Key != nil:
		k.use(r.Key, r.Limited)
	default:
		kind, err := r.keyType()
		if err != nil {
			return nil, err
		}
		pending := gsi.StartKey(ctx, kind)
		k.csr = func(ctx context.Context) ([]byte, error) {
			signer, err := pending.Wait(ctx)
			if err != nil {
				return nil, err
			}
			k.use(signer, r.Limited)
			return k.csr(ctx)
		}
	}
	return k, nil
}

func (k *delegationKey) use(signer crypto.Signer, limited bool) {
	k.signer, k.public = signer, signer.Public()
	k.csr = func(context.Context) ([]byte, error) { return gsi.NewRequest(signer, limited) }
}

// parseRequest reads a PKCS#10 request in DER or PEM.
func parseRequest(text []byte) (*x509.CertificateRequest, error) {
	der := text
	if block, _ := pem.Decode(text); block != nil {
		der = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, &RequestError{Field: fieldCSR, Reason: "is neither DER nor PEM of PKCS#10, or not signed with its own key: " + err.Error(), Err: err}
	}
	return csr, nil
}

func (r *DelegationRequest) keyType() (gsi.KeyType, error) {
	if r.KeyBits == 0 {
		kind, err := gsi.ParseKeyType(string(r.KeyKind))
		if err != nil {
			return "", &RequestError{Field: "kind of key", Reason: "is not known: " + err.Error(), Err: err}
		}
		return kind, nil
	}
	kind, err := gsi.ParseKeyType(fmt.Sprintf("rsa%d", r.KeyBits))
	if err != nil || r.KeyKind != "" && r.KeyKind != kind {
		return "", &RequestError{Field: "key size", Reason: "is not 2048, 3072 or 4096, or not that of the kind of key"}
	}
	return kind, nil
}

// verify checks that what came is what was asked for.
func (d *Delegation) verify(req *DelegationRequest, public crypto.PublicKey, opts gsi.VerifyOptions) error {
	bad := func(reason string, err error) error {
		return &CertificateError{Server: d.Server, Reason: reason, Err: err}
	}
	if !sameKey(d.Leaf().PublicKey, public) {
		return bad("sent a certificate for another key", nil)
	}
	if err := gsi.VerifyChain(d.Chain, opts); err != nil {
		return bad("sent a certificate that is not good", err)
	}
	info, err := gsi.Inspect(d.Chain)
	if err != nil {
		return bad("sent a certificate that is not good", err)
	}
	d.Info = info
	if req.Limited && !info.Limited {
		return bad("gave a full proxy where a limited one was asked for", nil)
	}
	if err := voms.Satisfies(info.VOMS, wishes(req.VOMS)); err != nil {
		return bad("left out attributes that were asked for", err)
	}
	if req.Renew == nil {
		return nil
	}
	old, err := gsi.Inspect(req.Renew.Chain)
	if err != nil || !bytes.Equal(old.IdentityRaw, info.IdentityRaw) {
		return bad("gave the proxy of somebody else than that of the credential to renew", err)
	}
	return nil
}

// wishes are VOs as they were asked for. Of one in a form that this package does
// not know, such as "vo:all", any attribute will do.
func wishes(vos []string) []voms.Request {
	all := make([]voms.Request, len(vos))
	for i, vo := range vos {
		wish, err := voms.ParseRequest(vo)
		if err != nil {
			wish.VO, _, _ = strings.Cut(vo, ":")
			wish.FQAN = ""
		}
		all[i] = wish
	}
	return all
}
