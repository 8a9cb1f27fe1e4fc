package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// A get by refresh, and the same requests to the portal by themselves: what the
// one takes longer is ours.
const (
	refreshGet  = "get, fetched by refresh from a portal"
	portalAlone = "the same requests to the portal alone"
)

const (
	portalClient   = "myproxy:oa4mp,2012:/client_id/bench"
	portalSecret   = "bench-secret"
	portalRedirect = "https://gateway.example.org/callback"
)

// addPortal starts the sandbox's portal and logs in twice: once for our program,
// whose session goes into the keyring, once for the requests alone.
func (w *world) addPortal(binary string, keyring *lab.Keyring) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	box, err := sandbox.Start(w.t.ctx, sandbox.Options{Dir: filepath.Join(w.dir, "portal")})
	if err != nil {
		return err
	}
	w.t.Cleanup(box.Close)
	portal, err := box.StartPortal(sandbox.PortalOptions{
		Users:   []sandbox.PortalUser{{Subject: "alice", Name: "Alice"}},
		Clients: []sandbox.PortalClient{{ID: portalClient, Secret: portalSecret, RedirectURIs: []string{portalRedirect}, RefreshLife: 24 * time.Hour}},
	})
	if err != nil {
		return err
	}
	ours, err := portalLogin(w.t.ctx, portal)
	if err != nil {
		return err
	}
	folder := filepath.Join(keyring.Home, ".config", "x509-credential-helper")
	ca, err := filepath.Glob(filepath.Join(box.TrustDir(), "*.0"))
	if err != nil || len(ca) == 0 {
		return fmt.Errorf("the sandbox has no CA: %w", err)
	}
	text := w.config + fmt.Sprintf("\n[profile.portal]\nbackend = \"rcauth\"\nportal = %q\nclient_id = %q\nca_file = %q\nca_dir = %q\n",
		portal.URL(), portalClient, ca[0], box.TrustDir())
	if err := os.WriteFile(filepath.Join(folder, "config.toml"), []byte(text), 0o600); err != nil {
		return err
	}
	for kind, value := range map[string]string{rcauth.KindSession: string(ours), rcauth.KindClientSecret: portalSecret} {
		request := fmt.Sprintf(`{"profile":"portal","secret":{"kind":%q,"value":%q}}`, kind, value)
		if _, err := w.time(program{name: "store", argv: []string{binary, "store"}, stdin: []byte(request)}); err != nil {
			return err
		}
	}
	theirs, err := portalLogin(w.t.ctx, portal)
	if err != nil {
		return err
	}
	w.programs = append(w.programs,
		program{name: refreshGet, argv: []string{binary, "get"}, stdin: []byte(`{"profile":"portal","cache":"bypass"}`), check: wantSource("backend")},
		program{name: portalAlone, do: func(ctx context.Context) (err error) {
			theirs, err = portalRequests(ctx, portal, theirs)
			return err
		}})
	return nil
}

func newPortalClient(portal *sandbox.Portal) *rcauth.Client {
	return &rcauth.Client{Portal: portal.URL(), ClientID: portalClient, ClientSecret: secret.Secret(portalSecret),
		RedirectURI: portalRedirect, HTTP: rcauth.NewHTTPClient(portal.Roots())}
}

// portalLogin returns the refresh token of a new session.
func portalLogin(ctx context.Context, portal *sandbox.Portal) (secret.Secret, error) {
	c := newPortalClient(portal)
	defer c.HTTP.CloseIdleConnections()
	a, err := c.Begin(ctx, "")
	if err != nil {
		return nil, err
	}
	back, err := portal.Browser().Authorize(ctx, a.URL)
	if err != nil {
		return nil, err
	}
	code, err := a.ParseRedirect(back, portalRedirect)
	if err != nil {
		return nil, err
	}
	t, err := c.Exchange(ctx, a, code)
	if err != nil {
		return nil, err
	}
	return t.RefreshToken, nil
}

// portalRequests is what a get asks of the portal, over a connection of its own,
// and nothing done with the answers.
func portalRequests(ctx context.Context, portal *sandbox.Portal, token secret.Secret) (secret.Secret, error) {
	c := rcauth.NewHTTPClient(portal.Roots())
	defer c.CloseIdleConnections()
	ask := func(path string, form url.Values) ([]byte, error) {
		method := http.MethodPost
		if form == nil {
			method = http.MethodGet
		}
		req, err := http.NewRequestWithContext(ctx, method, portal.URL()+path, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := c.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", path, resp.Status)
		}
		return io.ReadAll(resp.Body)
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/certs"} {
		if _, err := ask(path, nil); err != nil {
			return nil, err
		}
	}
	client := url.Values{"client_id": {portalClient}, "client_secret": {portalSecret}}
	refresh := maps.Clone(client)
	refresh.Set("grant_type", "refresh_token")
	refresh.Set("refresh_token", string(token))
	body, err := ask("/token", refresh)
	if err != nil {
		return nil, err
	}
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &tokens); err != nil {
		return nil, err
	}
	client.Set("access_token", tokens.Access)
	_, err = ask("/getproxy", client)
	return secret.Secret(tokens.Refresh), err
}

// portalShare says what of a get by refresh is ours.
func (r *report) portalShare() string {
	median := func(name string) float64 { return float64(quantile(r.results[name], 0.5).Microseconds()) / 1000 }
	if median(refreshGet) == 0 {
		return ""
	}
	own := median(refreshGet) - median(portalAlone)
	return fmt.Sprintf("\nOf a `%s` %.1f ms are ours, the start of the process and a keyring that is written twice included, all but `%s`; target ≤ 10 ms: %s.\n",
		refreshGet, own, portalAlone, verdict(own <= 10))
}
