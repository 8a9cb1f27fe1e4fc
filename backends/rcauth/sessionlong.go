package rcauth

import (
	"context"
	"errors"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// A portal gives refresh tokens only to clients that were registered with them.
// Without one there is one proxy for each login: it is asked to live as long as
// it may, is kept sealed, and others are derived from it on this machine.

// wantedLong is what a portal gives at the most by default (measured: 11 days
// less a day of tolerance).
const wantedLong = 10 * 24 * time.Hour

// noAccess is for what needs an access token: that of the login has been used up.
func noAccess() error {
	return helper.Errorf(helper.CodeInteractionRequired, "the portal gives this client no refresh token, and the access token of the login has been used up").
		WithHint("register the client with a lifetime of refresh tokens")
}

// derive makes a proxy from the one that the login left.
func (f *fetcher) derive(ctx context.Context) (*helper.Result, error) {
	p := f.spec.Profile
	switch asked := len(f.spec.VOMS) > 0; {
	case asked && len(p.VOMS) == 0:
		return nil, helper.Errorf(helper.CodeUnsupportedFeature, "the portal gives the client of profile %q no refresh token, and attributes of a VO only at a login", p.Name).
			WithHint("set voms in the profile and log in, or register the client with a lifetime of refresh tokens")
	case asked:
		return nil, helper.Errorf(helper.CodeInteractionRequired, "the portal gives the client of profile %q no refresh token: new attributes of a VO need a login", p.Name)
	}
	long, err := f.spec.Secrets.Long(ctx)
	if errors.Is(err, helper.ErrNoLong) {
		return nil, f.longOver()
	}
	if err != nil {
		return nil, err
	}
	defer long.Wipe()
	cred, err := gsi.ParseCredential(long)
	if err != nil {
		return nil, helper.Errorf(helper.CodeStorageError, "the kept proxy of profile %q cannot be read: %w", p.Name, err)
	}
	return f.deriveFrom(ctx, cred)
}

func (f *fetcher) deriveFrom(ctx context.Context, long *gsi.Credential) (*helper.Result, error) {
	now := f.b.opts.Clock()
	end := long.Leaf().NotAfter
	for _, c := range long.Chain {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	if end.Sub(now) < leastRest {
		return nil, f.longOver()
	}
	key, err := gsi.GenerateKey(ctx, f.spec.Profile.Key)
	if err != nil {
		return nil, err
	}
	options := gsi.IssueOptions{Now: now, Lifetime: min(f.spec.Lifetime, end.Sub(now))}
	if f.spec.Limited {
		options.Rights = gsi.RightsLimited
	}
	cred, err := long.Derive(key, options)
	if err != nil {
		return nil, &CredentialError{Err: err}
	}
	return &helper.Result{Chain: cred.Chain, Key: cred.Key, Server: f.set.host()}, nil
}

func (f *fetcher) longOver() error {
	return helper.Errorf(helper.CodeInteractionRequired, "the long-lived proxy of profile %q has ended, and the portal gives this client no refresh token", f.spec.Profile.Name)
}

// longProxy asks for the one proxy of a login and derives the first from it. It
// has no attributes of a VO: those end after a day, and what is derived from
// them with them.
func (f *fetcher) longProxy(ctx context.Context, t *Tokens, dns ...string) (*helper.Result, error) {
	cred, _, err := f.getProxy(ctx, ProxyRequest{AccessToken: t.AccessToken, Lifetime: wantedLong})
	if err != nil {
		return nil, err
	}
	warnings, err := checkHolder(cred.Chain, dns)
	if err != nil {
		return nil, err
	}
	res, err := f.deriveFrom(ctx, cred)
	if err != nil {
		return nil, err
	}
	if res.Long, err = cred.PEM(); err != nil {
		return nil, err
	}
	f.session.ProxyEnds = cred.Leaf().NotAfter.UTC()
	res.Warnings = append(res.Warnings, warnings...)
	return res, nil
}
