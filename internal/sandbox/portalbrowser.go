package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// Browser is somebody at a browser, for tests: it follows an authorization
// URL through the portal's pages.
type Browser struct {
	// Subject is who logs in; "" is the portal's first user.
	Subject string
	// Deny refuses on the consent page.
	Deny bool

	client *http.Client
}

// PageError is a page in the browser that ends a login without the client's
// hearing of it.
type PageError struct {
	Status int
	Page   string
}

// Error names the status.
func (e *PageError) Error() string {
	return fmt.Sprintf("the browser shows a page with status %d and is not sent back to the client", e.Status)
}

// maxPages is how many pages a login may have.
const maxPages = 10

// Browser returns a browser without cookies that trusts the sandbox's CA.
func (p *Portal) Browser() *Browser { return NewBrowser(p.Roots(), p.s.now) }

// NewBrowser is Browser for a portal in another process: it trusts those CAs,
// and clock is its time.
func NewBrowser(roots *x509.CertPool, clock func() time.Time) *Browser {
	jar, _ := cookiejar.New(nil) // without options it cannot fail
	return &Browser{client: &http.Client{
		Jar:           jar,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, Time: clock}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Authorize goes from an authorization URL to where the portal sends the
// browser in the end, and returns that URL without opening it. A page that
// leads nowhere is a *PageError.
func (b *Browser) Authorize(ctx context.Context, authorization string) (string, error) {
	defer b.client.CloseIdleConnections()
	start, err := url.Parse(authorization)
	if err != nil {
		return "", err
	}
	next, form := authorization, url.Values(nil)
	for range maxPages {
		response, page, err := b.open(ctx, next, form)
		if err != nil {
			return "", err
		}
		form = nil
		if location := response.Header.Get("Location"); location != "" {
			to, err := response.Request.URL.Parse(location)
			if err != nil {
				return "", err
			}
			if to.Host != start.Host {
				return to.String(), nil
			}
			next = to.String()
			continue
		}
		if response.StatusCode != http.StatusOK || !strings.HasSuffix(next, "/consent") {
			return "", &PageError{Status: response.StatusCode, Page: page}
		}
		form = url.Values{"user": {b.Subject}, "decision": {"allow"}}
		if b.Deny {
			form.Set("decision", "deny")
		}
	}
	return "", fmt.Errorf("the login has more than %d pages", maxPages)
}

// Login is Authorize, and then opens the client's redirect URI as a browser
// does. It returns the URL and the page there.
func (b *Browser) Login(ctx context.Context, authorization string) (redirectURL, page string, err error) {
	if redirectURL, err = b.Authorize(ctx, authorization); err != nil {
		return "", "", err
	}
	defer b.client.CloseIdleConnections()
	_, page, err = b.open(ctx, redirectURL, nil)
	return redirectURL, page, err
}

// open gets a page, or posts a form.
func (b *Browser) open(ctx context.Context, address string, form url.Values) (*http.Response, string, error) {
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(io.LimitReader(response.Body, maxPortalForm))
	return response, string(page), err
}
