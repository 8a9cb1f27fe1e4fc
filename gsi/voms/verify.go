package voms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// VerifyOptions says against what attributes are verified.
type VerifyOptions struct {
	// Now is the time at which they must be valid. libvomsapi accepts them five
	// minutes before and after, Verify does not.
	Now time.Time
	// Holder is the end-entity certificate of the chain that carries them.
	Holder *x509.Certificate
	// Dir knows the servers of each VO. Nil: any signer will do whose
	// certificate was sent along. Then everything hangs on Trust, which must
	// refuse people, the holder among them.
	Dir *Dir
	// Trust verifies the server's certificate, which comes first, up to a
	// trusted CA; the others were sent along and may help. Nil: not
	// checked; without Dir as well, anybody may have signed.
	Trust func(chain []*x509.Certificate) error
	// Host is where the attributes are to be used, "" anywhere: then hosts that
	// they are restricted to are not compared.
	Host string
	// AllowSHA1 accepts attributes signed with SHA-1.
	AllowSHA1 bool
}

// Verify checks what one attribute certificate claims, as Parse has returned
// it. Reason's values are in the order of the checks, so that forged attributes
// are not reported as old ones.
// Errors are *VerifyError.
func Verify(a *Attributes, opts VerifyOptions) error {
	v := verifier{a: a, opts: &opts}
	for _, check := range []func() *VerifyError{v.form, v.vo, v.authority, v.strength, v.signature, v.trust, v.holder, v.target, v.validity} {
		if e := check(); e != nil {
			out := *e
			out.VO = a.VO
			return &out
		}
	}
	return nil
}

type verifier struct {
	a     *Attributes
	opts  *VerifyOptions
	chain []*x509.Certificate // the authority's certificate first
	file  string              // of the vomsdir, that allowed it
}

func refuse(reason Reason, detail string) *VerifyError {
	return &VerifyError{Reason: reason, Detail: detail}
}

// authorityRefused is a refusal that the file of the vomsdir has to do with.
func (v *verifier) authorityRefused(reason Reason, detail string) *VerifyError {
	return &VerifyError{Reason: reason, File: v.file, Detail: detail}
}

func (v *verifier) form() *VerifyError {
	if v.a.signed == nil {
		return refuse(ReasonMalformed, "the attributes were not read from an attribute certificate")
	}
	return v.a.defect
}

// vo: a server speaks for its own VO only, and VO and host become file names.
func (v *verifier) vo() *VerifyError {
	if host, port, ok := strings.Cut(v.a.Host, ":"); !isName(v.a.VO) || len(v.a.VO) > maxVO || !isHost(host) || !ok || !isWord(port) {
		return refuse(ReasonMalformed, fmt.Sprintf("the attribute certificate does not name its server as vo://host:port but as %s", quote(v.a.VO+"://"+v.a.Host)))
	}
	for _, fqan := range v.a.FQANs {
		if rest, ok := strings.CutPrefix(fqan, "/"+v.a.VO); !ok || rest != "" && rest[0] != '/' {
			return refuse(ReasonVO, "the attribute certificate of one VO holds an attribute of another, "+quote(fqan))
		}
	}
	return nil
}

// quote keeps what a stranger has written short.
func quote(s string) string { return fmt.Sprintf("%.200q", s) }

// authority finds the certificate of the server, which must be one that the
// vomsdir names. As with libvomsapi, a .lsc file is final where there is one
// and the server has sent its certificates.
func (v *verifier) authority() *VerifyError {
	v.chain = v.a.Chain
	if v.opts.Dir == nil {
		if len(v.chain) == 0 {
			return refuse(ReasonNoAA, "the VOMS server has not sent its certificate along")
		}
		return v.issuer()
	}
	host, _, _ := strings.Cut(v.a.Host, ":")
	chains, file, e := v.opts.Dir.lsc(v.a.VO, host)
	switch v.file = file; {
	case e != nil:
		return e
	case chains == nil || len(v.chain) == 0:
		return v.stored(chains != nil)
	case !matchesLSC(chains, v.chain):
		return v.authorityRefused(ReasonLSCMismatch, "the attributes are signed by a server that the VO does not name: "+subjectText(v.chain[0]))
	}
	return v.issuer()
}

// stored looks for the server's certificate in the vomsdir itself.
func (v *verifier) stored(hasLSC bool) *VerifyError {
	known := v.opts.Dir.authorities(v.a.VO, v.a.IssuerRaw)
	for _, aa := range known {
		if weakKey(aa.cert) != "" || v.signedBy(aa.cert) != nil {
			continue
		}
		v.file, v.chain = aa.file, []*x509.Certificate{aa.cert}
		if len(v.a.Chain) > 0 && v.a.Chain[0].Equal(aa.cert) {
			v.chain = v.a.Chain
		}
		return nil
	}
	switch {
	case len(known) > 0:
		v.file, v.chain = known[0].file, []*x509.Certificate{known[0].cert}
		return nil // strength and signature say what is wrong
	case hasLSC:
		return v.authorityRefused(ReasonNoAA, "the VOMS server has not sent its certificate along")
	}
	return v.authorityRefused(ReasonLSCMissing, "the directory of VOMS servers does not know the server "+v.a.VO+"://"+v.a.Host)
}

// issuer: the first certificate must be that of the issuer named.
func (v *verifier) issuer() *VerifyError {
	if !bytes.Equal(v.chain[0].RawSubject, v.a.IssuerRaw) {
		return refuse(ReasonNoAA, "the certificate that was sent along is not that of the issuer "+clip(v.a.Issuer))
	}
	return nil
}

// strength comes before the signature: verifying with an RSA key of a million
// bits would take longer than anybody waits.
func (v *verifier) strength() *VerifyError {
	if reason := weakKey(v.chain[0]); reason != "" {
		return v.authorityRefused(ReasonWeakKey, reason)
	}
	switch v.a.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		if v.opts.AllowSHA1 {
			return nil
		}
	case x509.MD2WithRSA, x509.MD5WithRSA:
	default:
		return nil
	}
	return refuse(ReasonSHA1, "the attribute certificate is signed with "+v.a.SignatureAlgorithm.String()+", which servers refuse")
}

// weakKey goes by OpenSSL's security level 2, which grid servers have.
func weakKey(c *x509.Certificate) string {
	const minBits, maxBits = 2048, 16384
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minBits || n > maxBits {
			return fmt.Sprintf("the VOMS server has an RSA key of %d bits, at least %d and at most %d are accepted", n, minBits, maxBits)
		}
		return ""
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return ""
	}
	return "the VOMS server has a key of a type that is not accepted (not RSA, ECDSA or Ed25519)"
}

func (v *verifier) signedBy(c *x509.Certificate) error {
	if v.a.SignatureAlgorithm == x509.UnknownSignatureAlgorithm {
		return errors.New("the algorithm is not known")
	}
	return c.CheckSignature(v.a.SignatureAlgorithm, v.a.signed, v.a.signature)
}

// signature also compares the key identifier, which libvomsapi wants to be the
// key's hash whatever the server's certificate says of itself.
func (v *verifier) signature() *VerifyError {
	aa := v.chain[0]
	if err := v.signedBy(aa); err != nil {
		e := v.authorityRefused(ReasonSignature, "the attribute certificate is not signed by the VOMS server "+subjectText(aa))
		e.Err = err
		return e
	}
	if id, err := keyIdentifier(aa); err != nil || !bytes.Equal(id, v.a.keyID) {
		return refuse(ReasonKeyID, "the attribute certificate does not name the key that signed it by the key's SHA-1 hash")
	}
	return nil
}

// trust checks the server's certificate. RFC 5755 section 4.5 keeps it from
// being a CA's.
func (v *verifier) trust() *VerifyError {
	aa := v.chain[0]
	switch {
	case aa.IsCA:
		return v.authorityRefused(ReasonUntrusted, "the attribute certificate is signed by a CA instead of a VOMS server: "+subjectText(aa))
	case aa.KeyUsage != 0 && aa.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0:
		return v.authorityRefused(ReasonUntrusted, "the VOMS server's key may not be used for digital signatures: "+subjectText(aa))
	case v.opts.Now.After(aa.NotAfter):
		return v.authorityRefused(ReasonUntrusted, "the certificate of the VOMS server expired at "+timeText(aa.NotAfter)+": "+subjectText(aa))
	case v.opts.Now.Before(aa.NotBefore):
		return v.authorityRefused(ReasonUntrusted, "the certificate of the VOMS server is valid only from "+timeText(aa.NotBefore)+" on: "+subjectText(aa))
	case v.opts.Trust == nil:
		return nil
	}
	if err := v.opts.Trust(v.chain); err != nil {
		e := refuse(ReasonUntrusted, "the certificate of the VOMS server is not trusted: "+err.Error())
		e.Err = err
		return e
	}
	return nil
}

func (v *verifier) holder() *VerifyError {
	if v.opts.Holder == nil || !v.a.HeldBy(v.opts.Holder) {
		return refuse(ReasonHolder, "the attributes belong to another certificate than the one that they came with")
	}
	return nil
}

func (v *verifier) target() *VerifyError {
	if v.opts.Host != "" && !v.a.isFor(v.opts.Host) {
		return refuse(ReasonTarget, "the attributes are not for the host "+quote(v.opts.Host)+" but for "+clip(summary(v.a.Targets)))
	}
	return nil
}

func (v *verifier) validity() *VerifyError {
	switch {
	case v.opts.Now.After(v.a.NotAfter):
		return refuse(ReasonExpired, "the attributes expired at "+timeText(v.a.NotAfter))
	case v.opts.Now.Before(v.a.NotBefore):
		return refuse(ReasonNotYetValid, "the attributes are valid only from "+timeText(v.a.NotBefore)+" on, it is "+timeText(v.opts.Now))
	}
	return nil
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
