package helper

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// lifetimeTolerance is how much less than asked counts as granted: certificates
// count whole seconds and are some seconds old when they arrive.
const lifetimeTolerance = time.Minute

// verified is a credential that passed.
type verified struct {
	info     *gsi.Info
	held     bool // not new
	pem      secret.Secret
	warnings []Warning
}

// verify judges what a backend returned. Servers silently leave out what they
// do not do, and some have returned certificates for other keys.
func (h *Helper) verify(ctx context.Context, w *wish, spec *Spec, res *Result, key crypto.Signer) (*verified, error) {
	if key == nil {
		return nil, errNoKey
	}
	cred := &gsi.Credential{Chain: res.Chain, Key: key}
	if err := cred.Verify(gsi.VerifyOptions{Now: h.Clock()}); err != nil {
		return nil, chainError(err)
	}
	info, err := gsi.Inspect(cred.Chain)
	if err != nil {
		return nil, Errorf(CodeInvalidCredential, "the server returned a credential that cannot be read: %w", err)
	}
	v := &verified{info: info, held: res.Held, warnings: res.Warnings}
	if err := h.checkContent(w, cred.Chain, v); err != nil {
		return nil, err
	}
	if err := h.checkIssuer(w, spec, cred, v); err != nil {
		return nil, err
	}
	if w.limited && !info.Limited {
		if cred, err = h.limit(ctx, w, cred); err != nil {
			return nil, err
		}
		if v.info, err = gsi.Inspect(cred.Chain); err != nil {
			return nil, Errorf(CodeInternal, "the limited proxy cannot be read: %w", err)
		}
	}
	pem, err := cred.PEM()
	v.pem = pem
	return v, err
}

// chainError gives a fault of the chain its code.
func chainError(err error) error {
	var fault *gsi.ChainError
	if errors.As(err, &fault) && fault.Fault == gsi.FaultNotYetValid {
		return Errorf(CodeClockSkew, "the credential that the server returned is not valid yet: %w", err).
			WithHint("check this machine's clock")
	}
	if errors.As(err, &fault) && fault.Fault == gsi.FaultExpired {
		return Errorf(CodeInvalidCredential, "the credential that the server returned has already expired: %w", err).
			WithHint("check this machine's clock")
	}
	return Errorf(CodeInvalidCredential, "the server returned a credential that is not valid: %w", err)
}

// checkContent compares what came with what was asked for.
func (h *Helper) checkContent(w *wish, chain []*x509.Certificate, v *verified) error {
	if len(w.voms) > 0 {
		if err := voms.Satisfies(v.info.VOMS, w.voms); err != nil {
			return Errorf(CodeInvalidCredential, "the credential lacks what was asked for: %w", err).
				WithHint("the server may not do VOMS at all: it says nothing then, and sends a plain proxy")
		}
	}
	if err := checkHolders(chain, v.info.VOMS); err != nil {
		return err
	}
	if w.identity != "" && !gsi.MatchDN(v.info.IdentityRaw, w.identity) {
		return Errorf(CodeInvalidCredential, "profile %q is for %s, but the server returned a credential of %s",
			w.profile.Name, CleanText(w.identity), CleanText(v.info.Identity)).
			WithHint("%s", w.profile.IdentityHint())
	}
	granted := v.info.NotAfter.Sub(h.Clock())
	if !v.held && granted < asked(w)-lifetimeTolerance {
		v.warn("lifetime_clipped", "asked for "+span(w.lifetime)+", the server granted "+span(granted))
	}
	return nil
}

// checkHolders refuses attributes that were given to somebody else.
func checkHolders(chain []*x509.Certificate, attributes []voms.Attributes) error {
	for _, a := range attributes {
		if !slices.ContainsFunc(chain, a.HeldBy) {
			return Errorf(CodeInvalidCredential, "the credential carries VOMS attributes of %q that belong to another certificate", a.VO)
		}
	}
	return nil
}

func (v *verified) warn(code, message string) {
	v.warnings = append(v.warnings, Warning{code, message})
}

// maxIssuerText leaves room for the path of a CA's file.
const maxIssuerText = 400

// checkIssuer follows the chain to its trust anchor. One that is not here is
// a warning, since what counts are the anchors of whoever will be shown the
// credential; one that is here and says no is final.
func (h *Helper) checkIssuer(w *wish, spec *Spec, cred *gsi.Credential, v *verified) error {
	dir, err := spec.Trust()
	if err == nil {
		err = dir.Verify(cred.Chain, h.Clock(), w.profile.Trust)
	}
	if err == nil {
		return nil
	}
	var trust *gsi.TrustError
	if errors.As(err, &trust) && !w.profile.VerifyIssuer {
		unknown := trust.Reason == gsi.TrustUnknownIssuer || trust.Reason == gsi.TrustNoDirectory
		switch {
		case w.target.ServerKey && (unknown || trust.Reason == gsi.TrustExpired): // of a CA: the chain has been looked at
			v.warn("issuer_not_trusted_here", clean(err.Error()+missingFile(dir, cred.Chain), maxIssuerText))
			return nil
		case unknown:
			v.warn("issuer_unknown", CleanText(err.Error()))
			return nil
		}
	}
	return Errorf(CodeInvalidCredential, "the issuer of the credential is not trusted: %w", err)
}

// missingFile names the file of the issuing CA that the directory lacks, "" where
// it has it and something else is wrong.
func missingFile(dir *gsi.TrustDir, chain []*x509.Certificate) string {
	issuer := chain[len(chain)-1].RawIssuer
	hash, err := gsi.SubjectHash(issuer)
	if dir == nil || err != nil || slices.ContainsFunc(dir.CAs(), func(ca *x509.Certificate) bool { return bytes.Equal(ca.RawSubject, issuer) }) {
		return ""
	}
	return "; its file there would be " + hash + ".0"
}

// limit signs a limited proxy under a new key and drops the one it was made
// from: the server could not do it.
func (h *Helper) limit(ctx context.Context, w *wish, cred *gsi.Credential) (*gsi.Credential, error) {
	key, err := gsi.GenerateKey(ctx, w.profile.Key)
	if err != nil {
		return nil, err
	}
	now := h.Clock()
	limited, err := cred.Derive(key, gsi.IssueOptions{
		Rights:   gsi.RightsLimited,
		Now:      now,
		Lifetime: cred.Leaf().NotAfter.Sub(now),
	})
	if err != nil {
		return nil, Errorf(CodeInvalidCredential, "no limited proxy can be made from this credential: %w", err)
	}
	return limited, nil
}

// sameIdentity compares an entry's identity with the only one that will do,
// which people write in several ways.
func sameIdentity(e *cache.Entry, identity string) bool {
	if e.Identity == identity {
		return true
	}
	chain, err := gsi.ParseCertificates(e.PEM)
	if err != nil {
		return false
	}
	info, err := gsi.Inspect(chain)
	return err == nil && gsi.MatchDN(info.IdentityRaw, identity)
}
