package myproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// The values of the key auth: how the server is to know the user.
const (
	authPassphrase = "passphrase" // the default
	authRenewal    = "renewal"    // by a proxy that is still valid
	authTrusted    = "trusted"    // by the client's certificate alone
)

// The values of the key tls_identity: who the client is in TLS. None is ever
// looked for, as Globus does: a client that found ~/.globus by accident would
// break renewal, which refuses the user's own certificate ("self-authz").
const (
	identityAnonymous = "anonymous" // the default
	identityProxy     = "proxy"     // that which is renewed
	identityFiles     = "files"     // tls_cert and tls_key; no value of the key
)

// The values of the key trust_roots.
const (
	rootsNever  = "never" // the default
	rootsUpdate = "update"
)

// setAuth reads the keys that say who the user and the client are.
func (s *settings) setAuth(p *helper.Profile) error {
	word := func(key string, words ...string) (string, error) {
		value := p.Settings.String(key)
		if value == "" {
			return words[0], nil
		}
		if !slices.Contains(words, value) {
			return "", notConfigured(p, "%s must be one of %s", key, strings.Join(words, ", "))
		}
		return value, nil
	}
	var err error
	if s.auth, err = word(keyAuth, authPassphrase, authRenewal, authTrusted); err != nil {
		return err
	}
	if s.identity, err = word(keyTLSIdentity, identityAnonymous, identityProxy); err != nil {
		return err
	}
	roots, err := word(keyTrustRoots, rootsNever, rootsUpdate)
	if err != nil {
		return err
	}
	s.updateRoots = roots == rootsUpdate
	if _, err := wholeSeconds(fieldMaxLifetime, p.Settings.Duration(keyMaxLifetime)); err != nil {
		return notConfigured(p, "%s cannot be used: %w", keyMaxLifetime, err)
	}
	s.seed, s.tlsCert, s.tlsKey = p.Settings.String(keySeed), p.Settings.String(keyTLSCert), p.Settings.String(keyTLSKey)
	return s.checkAuth(p)
}

// checkAuth refuses keys that do not fit together.
func (s *settings) checkAuth(p *helper.Profile) error {
	switch files := s.tlsCert != "" || s.tlsKey != ""; {
	case files && (s.tlsCert == "" || s.tlsKey == ""):
		return notConfigured(p, "%s and %s belong together, one of them is missing", keyTLSCert, keyTLSKey)
	case files && p.Settings.String(keyTLSIdentity) != "":
		return notConfigured(p, "%s and %s name one client, %s another", keyTLSCert, keyTLSKey, keyTLSIdentity).
			WithHint("leave out %s", keyTLSIdentity)
	case files:
		s.identity = identityFiles
	}
	switch {
	case s.auth == authTrusted && s.identity == identityAnonymous:
		return notConfigured(p, "with %s = %q the server goes by the client's certificate, and there is none", keyAuth, authTrusted).
			WithHint("set %s and %s, or %s = %q", keyTLSCert, keyTLSKey, keyTLSIdentity, identityProxy)
	case s.seed != "" && s.auth != authRenewal && s.identity != identityProxy:
		return notConfigured(p, "%s is of no use here: no proxy is renewed", keySeed).
			WithHint("set %s = %q, or leave out %s", keyAuth, authRenewal, keySeed)
	}
	return nil
}

// authentication collects what proves who the user and the client are.
type authentication struct {
	b    *backend
	s    *settings
	spec *helper.Spec

	identity *tls.Certificate
	proxy    *gsi.Credential // once it was looked for
	fromSeed bool            // it is not the cache's
	warnings []helper.Warning
}

// prepare finds everything before a connection is made.
func (a *authentication) prepare(ctx context.Context, req *LogonRequest) (err error) {
	switch a.s.auth {
	case authPassphrase:
		req.Passphrase, err = a.spec.Secrets.Get(ctx, KindPassphrase)
	case authRenewal:
		req.Renew, err = a.newest(ctx)
	}
	if err != nil {
		return err
	}
	switch a.s.identity {
	case identityProxy:
		var proxy *gsi.Credential
		if proxy, err = a.newest(ctx); err == nil {
			a.identity = identityOf(proxy)
		}
	case identityFiles:
		a.identity, err = a.loadFiles(ctx)
	}
	return err
}

// newest returns the proxy to renew: that of the cache or the seed, of two that
// are valid the one that was made later, so that a seed that was replaced counts
// at once. What a limited proxy renews is limited (measured: Debian
// myproxy-server 6.2.14), so for full rights one with full rights goes first.
func (a *authentication) newest(ctx context.Context) (*gsi.Credential, error) {
	if a.proxy != nil {
		return a.proxy, nil
	}
	var hidden error
	if a.spec.Current != nil {
		a.proxy, hidden = a.spec.Current(ctx)
	}
	if a.s.seed != "" {
		seed, perm, err := a.readSeed()
		switch {
		case err == nil && (a.proxy == nil || a.goesFirst(seed)):
			a.proxy, a.fromSeed = seed, true
			a.warnSeed(perm)
		case a.proxy == nil:
			return nil, err
		}
	}
	if a.proxy == nil && hidden == nil {
		p := a.spec.Profile
		hidden = tag(p, helper.Errorf(helper.CodeInteractionRequired,
			"there is no valid proxy to go on with: profile %q has none in the cache, and no %s", p.Name, keySeed).
			WithHint("set %s in the profile to the file of a valid proxy", keySeed))
	}
	if a.proxy == nil {
		return nil, hidden
	}
	return a.proxy, nil
}

// goesFirst compares the seed with the proxy from the cache. That of somebody
// else does not: only a login changes a profile's identity.
func (a *authentication) goesFirst(seed *gsi.Credential) bool {
	ours, err := gsi.Inspect(a.proxy.Chain)
	theirs, err2 := gsi.Inspect(seed.Chain)
	switch {
	case err != nil || err2 != nil || !bytes.Equal(ours.IdentityRaw, theirs.IdentityRaw):
		return false
	case !a.spec.Limited && ours.Limited != theirs.Limited:
		return ours.Limited
	}
	return seed.Leaf().NotBefore.After(a.proxy.Leaf().NotBefore)
}

// loadFiles reads tls_cert and tls_key.
func (a *authentication) loadFiles(ctx context.Context) (*tls.Certificate, error) {
	p := a.spec.Profile
	identity, err := LoadIdentity(a.s.tlsCert, a.s.tlsKey, func() (secret.Secret, error) {
		return a.spec.Secrets.Get(ctx, KindKeyPassphrase)
	})
	var own *helper.Error
	switch {
	case errors.As(err, &own):
		return nil, own
	case errors.Is(err, gsi.ErrWrongPassphrase):
		return nil, tag(p, helper.Errorf(helper.CodeInteractionRequired, "%w", err).
			WithHint("for the right one run: x509-credential-helper login %s", p.Name))
	case err != nil:
		return nil, tag(p, fileTrouble(err))
	}
	if end := identity.Leaf.NotAfter; !a.now().Before(end) {
		return nil, tag(p, helper.Errorf(helper.CodeInvalidCredential, "the certificate in %s expired at %s: %q",
			keyTLSCert, end.UTC().Format(time.RFC3339), a.s.tlsCert).WithHint("replace it"))
	}
	return identity, nil
}

// fileTrouble gives an error of tls_cert or tls_key its code.
func fileTrouble(err error) *helper.Error {
	var file *FileError
	if errors.As(err, &file) && file.Unsafe {
		return helper.Errorf(helper.CodePolicyRefused, "%w", err)
	}
	return helper.Errorf(helper.CodeNotConfigured, "%w", err).WithHint("check %s and %s in the profile", keyTLSCert, keyTLSKey)
}

func (a *authentication) now() time.Time {
	if a.b.opts.Clock != nil {
		return a.b.opts.Clock()
	}
	return time.Now()
}

// maxNamed is how many CAs a warning names.
const maxNamed = 3

// rootsBudget bounds what a good proxy waits for the trust directory.
const rootsBudget = 3 * time.Second

// installInTime does not wait longer than that for another installation: whoever
// may read the directory can hold its lock. One that is left to itself may end
// with the process, which harms nothing.
func installInTime(ctx context.Context, dir string, files map[string][]byte) (Installed, error) {
	ctx, cancel := context.WithTimeout(ctx, rootsBudget)
	defer cancel()
	var got Installed
	done := safego.Go(func() (err error) {
		got, err = InstallTrustRoots(ctx, dir, files, UpdateOnly)
		return err
	})
	select {
	case err := <-done:
		return got, err
	case <-ctx.Done():
		return Installed{}, errors.New("it takes too long, another program may be at it; the next new proxy tries again")
	}
}

// updateRoots renews the trust directory of a profile, as far as nobody new is
// trusted. That it failed is a warning: the proxy is good.
func updateRoots(ctx context.Context, spec *helper.Spec, files map[string][]byte) []helper.Warning {
	failed := func(err error) []helper.Warning {
		return []helper.Warning{{Code: "trust_roots_not_updated", Message: printable("the trusted CAs were not updated: " + err.Error())}}
	}
	if len(files) == 0 {
		return failed(errors.New("the server has none to give"))
	}
	dir, err := spec.Trust()
	if err != nil {
		return failed(err)
	}
	got, err := installInTime(ctx, dir.Path(), files)
	if err != nil {
		return failed(err)
	}
	if len(got.New) == 0 {
		return nil
	}
	names := make([]string, 0, maxNamed)
	for _, ca := range got.New[:min(len(got.New), maxNamed)] {
		names = append(names, ca.Subject)
	}
	text := fmt.Sprintf("the server trusts %d CAs that are not trusted here (%s)", len(got.New), strings.Join(names, ", "))
	if len(got.New) == 1 {
		text = "the server trusts a CA that is not trusted here: " + names[0]
	}
	return []helper.Warning{{Code: "trust_roots_new", Message: printable(text + "; to look at it run: x509-credential-helper myproxy trustroots")}}
}
