package sandbox

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// verifies says whether an id_token is signed with the portal's key.
func (p *Portal) verifies(token string) bool {
	parts := strings.Split(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return err == nil && rsa.VerifyPKCS1v15(&p.signKey.PublicKey, crypto.SHA256, digest[:], signature) == nil
}

// Faults of the id_token show in the token answer, and are gone with it.
func TestPortalSpoilsTokens(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	c := newPortalClient(t, p)
	got := c.login()
	if !p.verifies(got.ID) {
		t.Error("a good id_token does not verify")
	}
	for _, test := range []struct {
		name   string
		faults PortalFaults
		check  func(tokens) bool
	}{
		{"signature", PortalFaults{BadSignature: true}, func(got tokens) bool { return !p.verifies(got.ID) }},
		{"claims", PortalFaults{Claims: func(claims map[string]any) { claims["aud"] = "somebody else" }},
			func(got tokens) bool { return jwtPart(t, got.ID, 1)["aud"] == "somebody else" }},
		{"alg none", PortalFaults{Header: func(header map[string]any) { header["alg"] = "none" }},
			func(got tokens) bool { return jwtPart(t, got.ID, 0)["alg"] == "none" && strings.HasSuffix(got.ID, ".") }},
		{"none", PortalFaults{}, func(got tokens) bool { return p.verifies(got.ID) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.faults.Endpoint = "token"
			p.Next(test.faults)
			if got = c.tokens("grant_type", "refresh_token", "refresh_token", got.Refresh); !test.check(got) {
				t.Errorf("the token is %v %v", jwtPart(t, got.ID, 0), jwtPart(t, got.ID, 1))
			}
		})
	}
}

// Faults of the proxy show in its bundle.
func TestPortalSpoilsProxies(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{Users: []PortalUser{testUser(), {Subject: "other", Name: "Somebody Else"}}})
	c := newPortalClient(t, p)
	access := c.login().Access
	leafKey := func(body string) bool {
		block, rest := pem.Decode([]byte(body))
		leaf := certificatesOf(t, block.Bytes)[0]
		block, _ = pem.Decode(rest)
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		return err == nil && key.(*rsa.PrivateKey).PublicKey.Equal(leaf.PublicKey)
	}
	for _, test := range []struct {
		name   string
		faults PortalFaults
		check  func(body string) bool
	}{
		{"key", PortalFaults{WrongKey: true}, func(body string) bool { return !leafKey(body) }},
		{"another user", PortalFaults{As: "other"}, func(body string) bool {
			return strings.Contains(bundleOf(t, body)[2].Subject.String(), "Somebody Else")
		}},
		{"limited", PortalFaults{Limited: true}, func(body string) bool {
			language, err := proxyLanguage(bundleOf(t, body)[0].Extensions)
			return err == nil && language.Equal(oidLimited)
		}},
		{"clock", PortalFaults{Skew: time.Hour}, func(body string) bool { return bundleOf(t, body)[0].NotBefore.After(time.Now()) }},
		{"lifetime", PortalFaults{Lifetime: time.Hour}, func(body string) bool {
			return bundleOf(t, body)[0].NotAfter.Before(time.Now().Add(2 * time.Hour))
		}},
		{"signature", PortalFaults{BadSignature: true}, func(body string) bool {
			chain := bundleOf(t, body)
			return chain[1].CheckSignature(chain[0].SignatureAlgorithm, chain[0].RawTBSCertificate, chain[0].Signature) != nil
		}},
		{"none", PortalFaults{}, func(body string) bool {
			chain := bundleOf(t, body)
			return leafKey(body) && chain[1].CheckSignature(chain[0].SignatureAlgorithm, chain[0].RawTBSCertificate, chain[0].Signature) == nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.Next(test.faults)
			if status, body := c.getproxy(access); status != http.StatusOK || !test.check(body) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

// Faults of the connection: what was done before the answer was lost stays
// done, what was not looked at did not happen.
func TestPortalLosesAnswers(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	c := newPortalClient(t, p)
	got := c.login()
	lose := func(f PortalFaults) {
		t.Helper()
		calls := len(p.Calls("token"))
		p.Next(f)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if f.Hang || f.Delay > 0 {
			go func() { // gives up some time after the request has come
				for ctx.Err() == nil && len(p.Calls("token")) == calls {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(200 * time.Millisecond)
				cancel()
			}()
		}
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}, "client_id": {testClient().ID}, "client_secret": {portalSecret}}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL()+"/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if response, err := c.http.Do(request); err == nil {
			_ = response.Body.Close()
			t.Errorf("an answer came through: %d", response.StatusCode)
		}
	}
	for _, f := range []PortalFaults{{CloseBefore: true}, {Hang: true}, {Delay: time.Minute}} {
		lose(f)
	}
	got = c.tokens("grant_type", "refresh_token", "refresh_token", got.Refresh)
	lose(PortalFaults{CloseAfter: true})
	status, body := c.post("token", "grant_type", "refresh_token", "refresh_token", got.Refresh, "client_id", testClient().ID, "client_secret", portalSecret)
	c.refused("a refresh token whose answer was lost", "no longer valid", status, body)
}

// Faults of the answer itself.
func TestPortalSpoilsAnswers(t *testing.T) {
	p := startPortal(t, start(t, Options{}), PortalOptions{})
	c := newPortalClient(t, p)
	p.SetFaults(PortalFaults{Endpoint: "certs", Answer: func(a *PortalAnswer) { a.Status, a.Body = http.StatusTeapot, []byte("tea") }})
	if status, body := c.post("certs"); status != http.StatusTeapot || body != "tea" {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := c.post(".well-known"); status != http.StatusOK {
		t.Errorf("the fault of another endpoint: %d", status)
	}
	p.SetFaults(PortalFaults{})
	read := func(change func(*PortalAnswer)) int {
		t.Helper()
		p.Next(PortalFaults{Answer: change})
		response, err := c.http.Get(p.URL() + "/certs")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		n := 0
		for buf := make([]byte, 1024); n < 1<<20; {
			read, err := response.Body.Read(buf)
			if n += read; err != nil {
				break
			}
		}
		return n
	}
	if n := read(func(a *PortalAnswer) { a.Cut = 7 }); n != 7 {
		t.Errorf("a cut answer has %d bytes", n)
	}
	if n := read(func(a *PortalAnswer) { a.Endless = true }); n < 1<<20 {
		t.Errorf("an endless answer ended after %d bytes", n)
	}
	if n := read(func(a *PortalAnswer) { a.Body, a.Drip = []byte("slow"), time.Millisecond }); n != len("slow") {
		t.Errorf("a dripping answer has %d bytes", n)
	}
}
