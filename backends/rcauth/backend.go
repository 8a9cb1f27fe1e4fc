package rcauth

import (
	"context"
	"crypto/x509"
	"net/http"
	"os"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Name is what profiles call this backend.
const Name = "rcauth"

// The secrets of this backend: the session that a login leaves, and that of the
// registered client.
const (
	KindSession      = "refresh_token"
	KindClientSecret = "client_secret"
)

// Options are the outside world of the backend. The zero value is this
// process's own.
type Options struct {
	Getenv func(string) string
	Clock  func() time.Time
	// HTTP makes the client for a portal whose certificate has to be of one of
	// these CAs; default NewHTTPClient.
	HTTP func(roots *x509.CertPool) *http.Client
}

// Backend is the backend "rcauth". It implements helper.Backend,
// helper.Interactive and helper.Session.
type Backend struct{ opts Options }

// New returns the backend. It does nothing by itself.
func New(opts Options) *Backend {
	if opts.Getenv == nil {
		opts.Getenv = os.Getenv
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.HTTP == nil {
		opts.HTTP = NewHTTPClient
	}
	return &Backend{opts: opts}
}

// Keys implements helper.Backend.
func (b *Backend) Keys() []helper.Key {
	return []helper.Key{
		{Name: keyPortal, Kind: helper.KindString},
		{Name: keyClientID, Kind: helper.KindString},
		{Name: keyScopes, Kind: helper.KindStrings},
		{Name: keyRedirectPorts, Kind: helper.KindInts},
		{Name: keyRedirectURI, Kind: helper.KindString},
		{Name: keyIDPHint, Kind: helper.KindString},
		{Name: keyIssuer, Kind: helper.KindString},
		{Name: keyPKCE, Kind: helper.KindBool},
		{Name: keyCAFile, Kind: helper.KindPath},
	}
}

// Target implements helper.Backend. The session and the client's secret belong
// to the portal and the client, not to the profile: two profiles with two VOs
// share them, and the lock under which the session is refreshed.
func (b *Backend) Target(p *helper.Profile) (*helper.Target, error) {
	s, err := b.settings(p)
	if err != nil {
		return nil, err
	}
	return &helper.Target{
		Endpoint:  s.portal,
		Principal: s.clientID,
		ServerKey: true,
		Secrets: []helper.SecretRef{
			{Kind: KindSession, Account: account("session", s), Check: checkSession},
			{
				Kind: KindClientSecret, Account: account("client", s), Lasting: true,
				Question: "Client secret of " + s.clientID + " at " + s.host(),
			},
		},
	}, nil
}

// Client returns the client that a profile describes, without its secret: good
// for Discover. Its RedirectURI is the first of RedirectURIs. The CAs are those
// of ca_file, else the system's and those of the directory of trust anchors.
func (b *Backend) Client(p *helper.Profile) (*Client, error) {
	s, err := b.settings(p)
	if err != nil {
		return nil, err
	}
	return b.client(s, b.trustDir(p))
}

// RedirectURIs are the addresses that have to be registered for a profile, in
// the order in which a login tries them.
func (b *Backend) RedirectURIs(p *helper.Profile) ([]string, error) {
	s, err := b.settings(p)
	if err != nil {
		return nil, err
	}
	return s.needRedirects()
}

// Obtain implements helper.Backend.
func (b *Backend) Obtain(ctx context.Context, spec *helper.Spec) (*helper.Result, error) {
	f, err := b.open(ctx, spec)
	if err != nil {
		return nil, b.coded(ctx, spec.Profile, err)
	}
	defer f.client.HTTP.CloseIdleConnections()
	res, err := f.obtain(ctx)
	if err != nil {
		return nil, b.coded(ctx, spec.Profile, err)
	}
	return res, nil
}

// Access returns a client with its secret and new tokens of the kept session,
// for what is neither a login nor a proxy; the new refresh token has been kept.
// It is for the function that helper.Use calls.
func (b *Backend) Access(ctx context.Context, spec *helper.Spec) (*Client, *Tokens, error) {
	f, tokens, err := b.access(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	return f.client, tokens, nil
}

func (b *Backend) access(ctx context.Context, spec *helper.Spec) (*fetcher, *Tokens, error) {
	f, err := b.open(ctx, spec)
	if err != nil {
		return nil, nil, b.coded(ctx, spec.Profile, err)
	}
	switch {
	case f.session.Lost != "":
		return nil, nil, f.needLogin()
	case f.session.RefreshToken == "":
		return nil, nil, b.coded(ctx, spec.Profile, noAccess())
	}
	tokens, err := f.refresh(ctx)
	if err != nil {
		return nil, nil, b.coded(ctx, spec.Profile, err)
	}
	return f, tokens, nil
}

// Until implements helper.Session: the earlier of the end of the refresh token
// and of that of the credential which the portal, or the keyring, has of the
// user. A session that is lost ended when it was found so.
func (b *Backend) Until(_ *helper.Profile, kept secret.Secret) (time.Time, error) {
	s, err := parseSession(kept)
	if err != nil {
		return time.Time{}, err
	}
	return s.until(), nil
}
