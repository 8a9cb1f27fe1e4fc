package sandbox

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// subjectOf is the DER of a user's DN.
func subjectOf(u PortalUser) ([]byte, error) {
	return asn1.Marshal(dn("People", u.CommonName).ToRDNSequence())
}

// same says whether a stored credential still has the DN that the identity
// provider says.
func (p *Portal) same(u PortalUser, stored *gsi.Credential) bool {
	subject, err := subjectOf(u)
	return err == nil && bytes.Equal(subject, stored.Chain[len(stored.Chain)-1].RawSubject)
}

// certified asks the CA for a certificate and puts a proxy below it into the
// portal's MyProxy.
func (p *Portal) certified(u PortalUser) (*gsi.Credential, error) {
	userKey, err := p.s.keys.get(p.s.ctx, keyUser)
	if err != nil {
		return nil, err
	}
	proxyKey, err := p.s.keys.get(p.s.ctx, keyProxy)
	if err != nil {
		return nil, err
	}
	now := p.s.now()
	cert, err := p.s.ca.user(u.CommonName, userKey.Public(), now.Add(-past), now.Add(portalEECLife))
	if err != nil {
		return nil, err
	}
	eec := &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: userKey}
	long, err := signProxy(eec, proxyKey.Public(), proxyOptions{
		language: oidInheritAll, now: now, lifetime: portalLongLife, byClient: true,
	})
	if err != nil {
		return nil, err
	}
	return &gsi.Credential{Chain: []*x509.Certificate{long, cert}, Key: proxyKey}, nil
}

// proxy signs a proxy below the stored credential and sends it with its key,
// which the portal made.
func (p *Portal) proxy(c *call, session *portalSession, stored *gsi.Credential, lifetime int64) *PortalAnswer {
	if c.faults.MyProxy == PortalMyProxyRefuses {
		return p.page(http.StatusInternalServerError, "server_error", "MyProxy Failure! Failed to execute GET command")
	}
	if c.faults.As != "" {
		user, _ := p.user(c.faults.As)
		var err error
		if stored, err = p.certified(user); err != nil {
			return p.page(http.StatusInternalServerError, "server_error", err.Error())
		}
	}
	now := p.s.now().Add(c.faults.Skew)
	attributes, refusal := p.attributes(c, stored, now, granted(c, lifetime))
	if refusal != "" {
		return p.page(http.StatusInternalServerError, "server_error", "MyProxy Failure! "+refusal+textVOMS)
	}
	chain, key, err := p.chain(c, session, stored, proxyOptions{
		language: oidInheritAll, now: now, lifetime: granted(c, lifetime), extensions: attributes,
	})
	if err != nil {
		return p.page(http.StatusInternalServerError, "server_error", err.Error())
	}
	body, err := bundle(chain, key)
	if err != nil {
		return p.page(http.StatusInternalServerError, "server_error", err.Error())
	}
	return answer(http.StatusOK, "text/plain", body).unframed()
}

// granted is how long a proxy lives: five minutes at least, and all that is
// left where zero or less was asked for.
func granted(c *call, lifetime int64) time.Duration {
	switch {
	case c.faults.Lifetime != 0:
		return c.faults.Lifetime
	case lifetime <= 0:
		return unlimited
	}
	return max(time.Duration(lifetime)*time.Second, minLifetime)
}

// chain signs: one proxy, or for a limited client two, the second limited.
func (p *Portal) chain(c *call, session *portalSession, stored *gsi.Credential, o proxyOptions) ([]*x509.Certificate, crypto.Signer, error) {
	key, err := p.s.keys.get(p.s.ctx, keyIssued)
	if err != nil {
		return nil, nil, err
	}
	issuer := stored
	if session.client.Limited || c.faults.Limited {
		inner := o
		inner.extensions = nil
		cert, err := signProxy(stored, key.Public(), inner)
		if err != nil {
			return nil, nil, err
		}
		issuer = &gsi.Credential{Chain: append([]*x509.Certificate{cert}, stored.Chain...), Key: key}
		o.language = oidLimited
	}
	leaf, err := signProxy(issuer, key.Public(), o)
	if err != nil {
		return nil, nil, err
	}
	if c.faults.BadSignature {
		raw := bytes.Clone(leaf.Raw)
		raw[len(raw)-1] ^= 1
		if leaf, err = x509.ParseCertificate(raw); err != nil {
			return nil, nil, err
		}
	}
	if c.faults.WrongKey {
		if key, err = rsa.GenerateKey(rand.Reader, keyBits); err != nil {
			return nil, nil, err
		}
	}
	return append([]*x509.Certificate{leaf}, issuer.Chain...), key, nil
}

// bundle is the body of a proxy: its certificate, its key as PKCS #8, the rest
// of the chain, and no CA.
func bundle(chain []*x509.Certificate, key crypto.Signer) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	blocks := []*pem.Block{{Type: "CERTIFICATE", Bytes: chain[0].Raw}, {Type: "PRIVATE KEY", Bytes: der}}
	for _, cert := range chain[1:] {
		blocks = append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	var b strings.Builder
	for _, block := range blocks {
		text := base64.StdEncoding.EncodeToString(block.Bytes)
		b.WriteString("-----BEGIN " + block.Type + "-----\n")
		for len(text) > 0 {
			n := min(bundleLine, len(text))
			b.WriteString(text[:n] + "\n")
			text = text[n:]
		}
		b.WriteString("-----END " + block.Type + "-----\n")
	}
	return b.String(), nil
}

// bundleLine is how long the lines of the portal's PEM are, against RFC 7468
// section 2: measured.
const bundleLine = 76

// attributes are those of Options.VOs. The parameter is voname; voms alone is
// ignored without a word. The text is what stands before the refusal's last
// sentence.
func (p *Portal) attributes(c *call, stored *gsi.Credential, now time.Time, lifetime time.Duration) ([]pkix.Extension, string) {
	if !c.has("voname") || c.faults.NoVOMS {
		return nil, ""
	}
	vo, _, _ := strings.Cut(c.param("voname"), ":")
	if _, known := p.s.opts.VOs[vo]; !known && !c.has("vomses") {
		return nil, "ERROR=No VOMS Server Information ERROR="
	} else if !known && strings.Count(c.param("vomses"), `"`) < 10 {
		return nil, fmt.Sprintf("ERROR=Error finding voms server info. ERROR=Couldn't get user information for %s VO. ERROR=", vo)
	}
	end := now.Add(min(lifetime, portalLongLife))
	if last := stored.Chain[0].NotAfter; end.After(last) {
		end = last
	}
	r := &request{voName: []string{c.param("voname")}, vomses: []string{c.param("vomses")}}
	found, refusal := p.s.memberships(r, stored.Chain[len(stored.Chain)-1], now.Add(-skew), end)
	if refusal != "" {
		return nil, fmt.Sprintf("ERROR=Couldn't get user information for %s VO. ERROR=", vo)
	}
	return found, ""
}
