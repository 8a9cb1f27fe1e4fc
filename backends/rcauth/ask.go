package rcauth

import (
	"context"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// What people ask a portal beside proxies. These are for the function that
// helper.Use calls; they use, and renew, the kept session. Their errors are
// *helper.Error.

// UserInfo asks who the user is.
func (b *Backend) UserInfo(ctx context.Context, spec *helper.Spec) (*Claims, error) {
	f, t, err := b.access(ctx, spec)
	if err != nil {
		return nil, err
	}
	claims, err := f.userInfo(ctx, t)
	if err != nil {
		return nil, b.coded(ctx, spec.Profile, err)
	}
	return claims, nil
}

// Info asks for how long the portal can make proxies without a login.
func (b *Backend) Info(ctx context.Context, spec *helper.Spec) (*ProxyInfo, error) {
	c, t, err := b.Access(ctx, spec)
	if err != nil {
		return nil, err
	}
	info, err := c.Info(ctx, t.AccessToken)
	if err != nil {
		return nil, b.coded(ctx, spec.Profile, err)
	}
	return info, nil
}

// Revoke ends the session at the portal. It says false where there was nothing
// to end: a login without a refresh token leaves none there.
func (b *Backend) Revoke(ctx context.Context, spec *helper.Spec) (bool, error) {
	f, err := b.open(ctx, spec)
	if err != nil {
		return false, b.coded(ctx, spec.Profile, err)
	}
	if f.session.RefreshToken == "" {
		return false, nil
	}
	if err := f.client.Revoke(ctx, []byte(f.session.RefreshToken)); err != nil {
		return false, b.coded(ctx, spec.Profile, err)
	}
	return true, nil
}
