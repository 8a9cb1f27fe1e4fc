package myproxy

import (
	"context"
	"crypto"
	"crypto/rsa"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// readSeed reads the proxy to begin with. Whoever can write to the file decides
// whose proxy we get, so that is refused; that others can read it is their
// risk and a warning, because Kubernetes' volumes of secrets have modes like
// 0440, and links. perm is for warnSeed.
func (a *authentication) readSeed() (cred *gsi.Credential, perm fs.FileMode, err error) {
	path, p := a.s.seed, a.spec.Profile
	data, perm, err := safefile.ReadTrustedMode(path, gsi.MaxCredentialBytes)
	if err != nil {
		return nil, 0, tag(p, seedTrouble(fileError(path, err)))
	}
	defer clear(data)
	cred, err = gsi.ParseCredential(data)
	if err == nil && !sameKey(cred.Leaf().PublicKey, cred.Key.Public()) {
		err = fmt.Errorf("its key is not that of its certificate")
	}
	if err != nil {
		return nil, 0, tag(p, helper.Errorf(helper.CodeInvalidCredential, "the %s %q cannot be used: %w", keySeed, path, err))
	}
	if err := a.checkSeed(cred); err != nil {
		return nil, 0, tag(p, err)
	}
	return cred, perm, nil
}

// warnSeed looks at the file once more, but only for what people are told: it
// has been opened and read.
func (a *authentication) warnSeed(perm fs.FileMode) {
	warn := func(code, format string, args ...any) {
		a.warnings = append(a.warnings, helper.Warning{Code: code, Message: printable(fmt.Sprintf(format, args...))})
	}
	if perm&0o044 != 0 {
		warn("seed_readable", "others can read the %s %q (mode %04o): whoever has it can act for its owner until it expires", keySeed, a.s.seed, perm)
	}
	if info, err := os.Lstat(a.s.seed); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		warn("seed_link", "the %s %q is a symbolic link", keySeed, a.s.seed)
	}
}

// checkSeed refuses what no server would renew, or for whom the profile is not.
func (a *authentication) checkSeed(cred *gsi.Credential) *helper.Error {
	path, now := a.s.seed, a.now()
	if end := chainEnd(cred.Chain); !now.Before(end) {
		return helper.Errorf(helper.CodeInteractionRequired, "the %s %q expired at %s, and an expired proxy cannot renew anything",
			keySeed, path, end.UTC().Format(time.RFC3339)).
			WithHint("put a valid proxy there, for instance from a machine that has the pass phrase")
	}
	for _, c := range cred.Chain {
		if now.Before(c.NotBefore) {
			return helper.Errorf(helper.CodeClockSkew, "the %s %q is not valid before %s", keySeed, path, c.NotBefore.UTC().Format(time.RFC3339)).
				WithHint("check this machine's clock")
		}
	}
	info, err := gsi.Inspect(cred.Chain)
	if err != nil {
		return helper.Errorf(helper.CodeInvalidCredential, "the %s %q cannot be used: %w", keySeed, path, err)
	}
	if want := a.spec.Identity; want != "" && !gsi.MatchDN(info.IdentityRaw, want) {
		return helper.Errorf(helper.CodeInvalidCredential, "profile %q is for %s, but the %s %q is a proxy of %s",
			a.spec.Profile.Name, helper.CleanText(want), keySeed, path, helper.CleanText(info.Identity)).
			WithHint("%s", a.spec.Profile.IdentityHint())
	}
	return nil
}

// held is the seed, where it lives long enough and will do as it is, or nil. Ten
// thousand nodes that start with it need no server then, and each renews in its
// own time. One that is not valid, with a signature of SHA-1 for instance, is what
// a server judges.
func (a *authentication) held(enough time.Duration) *helper.Result {
	if a.s.auth != authRenewal || enough == 0 || !a.fromSeed || !keyIs(a.proxy.Key, a.spec.Profile.Key) {
		return nil
	}
	info, err := gsi.Inspect(a.proxy.Chain)
	if err != nil || info.NotAfter.Sub(a.now()) < enough || info.Limited != a.spec.Limited ||
		len(a.spec.VOMS) > 0 && voms.Satisfies(info.VOMS, a.spec.VOMS) != nil ||
		a.proxy.Verify(gsi.VerifyOptions{Now: a.now()}) != nil {
		return nil
	}
	return &helper.Result{Chain: a.proxy.Chain, Key: a.proxy.Key, Held: true, Warnings: a.warnings}
}

// heldAfter is the seed where no server answered: it is renewed early, so one
// that will do for now is better than nothing. What a server refused stays
// refused.
func (a *authentication) heldAfter(ctx context.Context, err *helper.Error) *helper.Result {
	if !err.Retryable || ctx.Err() != nil {
		return nil
	}
	held := a.held(a.spec.Least)
	if held != nil {
		held.Warnings = append(held.Warnings, helper.Warning{Code: "renewal_failed",
			Message: "the seed was not renewed and is used as it is: " + err.Message})
	}
	return held
}

// keyIs says whether a key will do where one of that type is wanted: XRootD
// takes RSA only, and 1024 bits are refused in TLS.
func keyIs(key crypto.Signer, want gsi.KeyType) bool {
	public, isRSA := key.Public().(*rsa.PublicKey)
	return isRSA == (want != gsi.KeyP256) && (!isRSA || public.N.BitLen() >= 2048)
}

// seedTrouble gives an error of opening the seed its code.
func seedTrouble(err *FileError) *helper.Error {
	switch {
	case err.Unsafe:
		return helper.Errorf(helper.CodePolicyRefused, "the %s %w", keySeed, err).
			WithHint("it must be a regular file of yours or root's, and nobody else may write to it")
	case isNotThere(err):
		return helper.Errorf(helper.CodeInteractionRequired, "there is no valid proxy to go on with: the cache has none, and the %s %w", keySeed, err).
			WithHint("put a valid proxy there")
	}
	return helper.Errorf(helper.CodeStorageError, "the %s %w", keySeed, err)
}
