//go:build unix

package sandbox

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// twins are a real server and a sandbox with the same configuration. Both
// trust the real one's CA, so that the same clients can talk to both, and what
// is stored in one by its own commands is stored in the other in the same way.
type twins struct {
	t       *testing.T
	box     *Sandbox
	real    *lab.MyProxy
	version uint16
	people  *people
	now     time.Time // when clients make their proxies, for both the same
}

// people are shared by the parts of a test, which run at the same time.
type people struct {
	mu    sync.Mutex
	known map[string]*gsi.Credential
}

type twinOptions struct {
	real    lab.MyProxyOptions
	box     Options
	version uint16 // of TLS; 0 is 1.3
}

// newTwins starts both. The real server makes a new key for every PUT: of 2048
// bits that is three quarters of the time of these tests, and no answer shows
// the size.
func newTwins(t *testing.T, o twinOptions) *twins {
	t.Helper()
	if o.real.CA == nil {
		o.real.CA = lab.NewCA(t, "Lab")
	}
	if o.version == 0 {
		o.version = tls.VersionTLS13
	}
	o.real.PutKeyBits = 1024
	o.box.TrustedCAs = []*x509.Certificate{o.real.CA.Cert}
	w := &twins{t: t, version: o.version, people: &people{known: map[string]*gsi.Credential{}}, now: time.Now()}
	w.real = lab.StartMyProxy(t, o.real)
	w.box = start(t, o.box)
	return w
}

// part runs a part of a test beside the other parts; it must not use their
// user names.
func (w *twins) part(name string, f func(*twins)) {
	w.t.Run(name, func(t *testing.T) {
		t.Parallel()
		own := *w
		own.t = t
		f(&own)
	})
}

// soak says whether all combinations are tried, or those only that no other one
// stands for: X509CH_SOAK=1.
func soak() bool { return os.Getenv("X509CH_SOAK") != "" }

// few are enough of all, and all of them in a soak.
func few[T any](enough, more []T) []T {
	if soak() {
		return slices.Concat(enough, more)
	}
	return enough
}

// person is a user of the real CA. A name that ends in "-proxy" or "-limited"
// is a proxy of the person before it, "-ec" has a P-256 key.
func (w *twins) person(name string) *gsi.Credential {
	w.t.Helper()
	if name == "" {
		return nil
	}
	w.people.mu.Lock()
	defer w.people.mu.Unlock()
	return w.make(name)
}

// make is person; w.people.mu is held.
func (w *twins) make(name string) *gsi.Credential {
	w.t.Helper()
	if c := w.people.known[name]; c != nil {
		return c
	}
	var made *gsi.Credential
	switch base, kind, _ := strings.Cut(name, "-"); kind {
	case "proxy":
		made = w.proxy(w.make(base), proxyOptions{})
	case "limited":
		made = w.proxy(w.make(base), proxyOptions{language: oidLimited})
	case "expired":
		made = w.proxy(w.make(base), proxyOptions{lifetime: -time.Minute})
	case "ec":
		key, err := w.box.userKey(User{P256: true}, "")
		if err != nil {
			w.t.Fatal(err)
		}
		cert := w.real.CA.Sign(w.make(base).Chain[0], key.Public())
		made = &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: key}
	default:
		user := w.real.CA.User(name)
		made = &gsi.Credential{Chain: user.Chain, Key: user.Key}
	}
	w.people.known[name] = made
	return made
}

// proxy signs a proxy as a client does.
func (w *twins) proxy(issuer *gsi.Credential, o proxyOptions) *gsi.Credential {
	w.t.Helper()
	key := testKey(w.t)
	return w.proxyFor(issuer, key, o)
}

func (w *twins) proxyFor(issuer *gsi.Credential, key crypto.Signer, o proxyOptions) *gsi.Credential {
	w.t.Helper()
	cert := w.certificate(issuer, key.Public(), o)
	return &gsi.Credential{Chain: append([]*x509.Certificate{cert}, issuer.Chain...), Key: key}
}

// certificate is a proxy's, by default one that inherits all for an hour.
func (w *twins) certificate(issuer *gsi.Credential, pub crypto.PublicKey, o proxyOptions) *x509.Certificate {
	w.t.Helper()
	o.byClient, o.now = true, w.now
	if o.lifetime == 0 {
		o.lifetime = time.Hour
	}
	if o.language == nil {
		o.language = oidInheritAll
	}
	cert, err := signProxy(issuer, pub, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return cert
}

// file is a person's credential as STORE sends it: certificates, then the key,
// encrypted unless the pass phrase is empty.
func (w *twins) file(name, passphrase string) []byte {
	w.t.Helper()
	c := w.person(name)
	return storedForm(w.t, c, passphrase)
}

// both has the same conversation with both servers and compares what they
// said, record by record; it returns that.
func (w *twins) both(what, who string, play func(*dialog)) string {
	w.t.Helper()
	want := w.talk(w.real.Direct, who, play)
	got := w.talk(w.box.Addr(), who, play)
	if got != want {
		w.t.Errorf("%s\nsandbox:\n%s\nreal:\n%s", what, indent(got), indent(want))
	}
	return want
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

func (w *twins) talk(addr, who string, play func(*dialog)) string {
	w.t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(patience))
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: w.version, MaxVersion: w.version, DynamicRecordSizingDisabled: true}
	if c := w.person(who); c != nil {
		identity := &tls.Certificate{PrivateKey: c.Key}
		for _, cert := range c.Chain {
			identity.Certificate = append(identity.Certificate, cert.Raw)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return identity, nil }
	}
	d := &dialog{w: w, conn: tls.Client(raw, config)}
	if err := d.conn.Handshake(); err != nil {
		return "handshake: " + err.Error()
	}
	if w.version == tls.VersionTLS13 {
		d.hear()
	}
	d.say([]byte("0"))
	play(d)
	_ = d.conn.CloseWrite() // if the server still waits for something
	for len(d.hear()) > 0 {
	}
	return strings.Join(d.said, "\n")
}
