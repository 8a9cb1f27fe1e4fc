package rcauth_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// gateway is a whole web portal: people log in at /login, the Master Portal sends
// them back to /callback, and then the gateway has a proxy of theirs.
type gateway struct {
	client *rcauth.Client // RedirectURI is the gateway's own https://HOST/callback

	mu       sync.Mutex
	attempts map[string]*rcauth.Attempt // by the cookie of the browser that began it
	proxies  map[string]*gsi.Credential // by the user's subject; never a file below the web root
}

const cookie = "__Host-login"

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8") // no text from outside is HTML
	var err error
	switch r.URL.Path {
	case "/login":
		err = g.login(w, r)
	case "/callback":
		err = g.callback(w, r)
	default:
		err = errors.New("log in at /login")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
	}
}

// login sends the browser to the Master Portal. The cookie binds the attempt to
// this browser: nobody can make another one log in as himself.
func (g *gateway) login(w http.ResponseWriter, r *http.Request) error {
	attempt, err := g.client.Begin(r.Context(), "")
	if err != nil {
		return err
	}
	id := rand.Text()
	g.mu.Lock()
	g.attempts[id] = attempt // to be forgotten after 15 minutes
	g.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, attempt.URL, http.StatusFound)
	return nil
}

// callback is where the browser comes back to: code, tokens, user, proxy.
func (g *gateway) callback(w http.ResponseWriter, r *http.Request) error {
	id, err := r.Cookie(cookie)
	if err != nil {
		return rcauth.ErrWrongState
	}
	g.mu.Lock()
	attempt := g.attempts[id.Value]
	delete(g.attempts, id.Value)
	g.mu.Unlock()
	if attempt == nil {
		return rcauth.ErrWrongState
	}
	code, err := attempt.ParseRedirect(r.URL.RequestURI(), g.client.RedirectURI)
	if err != nil {
		return err
	}
	tokens, err := g.client.Exchange(r.Context(), attempt, code)
	if err != nil {
		return err
	}
	user, err := g.client.UserInfo(r.Context(), tokens.AccessToken) // before the proxy, which uses up the token
	if err != nil {
		return err
	}
	if user.Subject != tokens.Claims.Subject { // OpenID Connect Core 1.0 section 5.3.2
		return errors.New("the portal speaks of two people")
	}
	proxy, err := g.client.GetProxy(r.Context(), rcauth.ProxyRequest{AccessToken: tokens.AccessToken})
	if err != nil {
		return err
	}
	if err := rcauth.MatchSubject(tokens.Claims.DN, proxy.Chain[len(proxy.Chain)-1]); err != nil {
		return err
	}
	g.mu.Lock()
	g.proxies[user.Subject] = proxy
	g.mu.Unlock()
	fmt.Fprintf(w, "Welcome, %s.\n", user.Name)
	return nil
}

// A web portal gets a proxy for each of its users who logs in.
func Example_webPortal() {
	g := &gateway{attempts: map[string]*rcauth.Attempt{}, proxies: map[string]*gsi.Credential{}}
	fmt.Println(tryGateway(g)) // in place of http.ListenAndServeTLS
	for subject, proxy := range g.proxies {
		fmt.Println(subject, "is", proxy.Chain[len(proxy.Chain)-1].Subject.CommonName)
	}
	// Output:
	// Welcome, Jane Roe.
	// jane@idp.example.org is Jane Roe
}
