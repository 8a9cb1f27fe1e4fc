package gsi

import (
	"crypto/x509"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// VerifyVOMS verifies the VOMS attributes of a chain, leaf first: that each
// attribute certificate is signed by the VOMS server that dir names for the
// VO, that a CA of the trust directory vouches for that server, that it belongs
// to the chain's end-entity certificate, and that it is valid now. A nil dir
// accepts every signer that such a CA vouches for, which is any host and any
// person of the grid, the holder himself too: let nobody in by that.
//
// Only the attributes nearest to the leaf are looked at, because servers look
// at no others. A chain without attributes passes. The chain itself, which the
// attributes are worth nothing without, is Verify's business. Errors are
// *voms.VerifyError, and *ChainError where nobody can say whose the chain is (see
// Inspect).
func (t *TrustDir) VerifyVOMS(chain []*x509.Certificate, dir *voms.Dir, now time.Time, opts TrustOptions) error {
	proxies, err := identify(chain)
	if err != nil {
		return err
	}
	for _, c := range chain {
		found, err := voms.Parse(c)
		if err != nil {
			return &voms.VerifyError{Reason: voms.ReasonMalformed, Detail: err.Error() + ": " + subjectText(c), Err: err}
		}
		for i := range found {
			if err := voms.Verify(&found[i], t.VOMSOptions(chain[len(proxies)], dir, now, opts)); err != nil {
				return err
			}
		}
		if len(found) > 0 {
			return nil
		}
	}
	return nil
}

// VOMSOptions is what VerifyVOMS verifies the attributes of one end-entity
// certificate with, for callers that want to judge each attribute certificate
// by itself.
func (t *TrustDir) VOMSOptions(eec *x509.Certificate, dir *voms.Dir, now time.Time, opts TrustOptions) voms.VerifyOptions {
	return voms.VerifyOptions{
		Now: now, Holder: eec, Dir: dir, AllowSHA1: opts.AllowSHA1,
		Trust: func(chain []*x509.Certificate) error { return t.Verify(chain, now, opts) },
	}
}
