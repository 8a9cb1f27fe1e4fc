package gsi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// kind is one kind of file that may lie where a proxy is expected.
type kind struct {
	name string
	cred func(*world) *Credential
	text func(*world, *Credential) []byte // nil: as Globus writes it
	want any                              // what we say, see judge
	// asked says what each client says, in the order of columns: y it takes the
	// file, n it does not, x it crashes, - it is not asked.
	asked string
	why   string // where one of the judges does not agree with us
	short bool   // one of the sample that is asked with -short
}

// kinds is every kind of file, in the order of docs/proxies.md.
func kinds() []section {
	return []section{
		{"Algorithms", algorithmKinds()},
		{"Rights, depth and path length", rightsKinds()},
		{"Proxies from before RFC 3820", legacyKinds()},
		{"Rules of the certificate", ruleKinds()},
		{"Names", nameKinds()},
		{"Time", timeKinds()},
		{"Chains and trust", chainKinds()},
		{"VOMS attributes", vomsKinds()},
		{"Shapes of the file", fileKinds()},
	}
}

type section struct {
	title string
	kinds []kind
}

// world is where all kinds come from: a CA that servers trust, and a user with
// an RSA certificate by the name that they let in. Its clock is the real one,
// because real clients have no other.
type world struct {
	t    testing.TB
	now  time.Time
	root *authority
	user *Credential
	sub  *authority // in the trust directory, like the root
	// revoked is another certificate of the same user's; it stands on the
	// root's list.
	revoked *Credential
	aa      *Credential // the VOMS server, in vomsDir
	vomsDir string
}

// userNames are the subjects that the servers of TestClients let in.
func userNames() []string {
	return []string{
		"/C=XX/O=Lab/CN=Jane", "/C=XX/O=Elsewhere/CN=Jane", "/C=XX/O=Lab/CN=J\xe4ne",
		"/C=XX/O=Lab/CN=Jane/emailAddress=jane@example.org", "/C=XX/O=Lab/CN=Jane, Dr.",
	}
}

// newWorld makes its own CA where it is given none.
func newWorld(t testing.TB, root *authority) *world {
	t.Helper()
	w := &world{t: t, now: time.Now().Truncate(time.Second), root: root}
	if root == nil {
		w.root = w.authority(nil, "Root")
	}
	w.user = w.eec(rsaKeys()[0])
	w.revoked = w.eec(rsaKeys()[0], func(c *x509.Certificate) { c.SerialNumber = big.NewInt(4097) })
	w.sub = w.authority(w.root, "Sub CA")
	w.makeVOMS()
	return w
}

// testKey reads one of the keys that take too long to make, or that Go would
// not make.
func testKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "keys", name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	return mustKey(t, string(text))
}

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// eec makes a certificate for the user of the world.
func (w *world) eec(key crypto.Signer, change ...func(*x509.Certificate)) *Credential {
	w.t.Helper()
	return w.eecOf(w.root, key, change...)
}

func (w *world) eecOf(ca *authority, key crypto.Signer, change ...func(*x509.Certificate)) *Credential {
	w.t.Helper()
	c := &x509.Certificate{
		RawSubject: labName("Jane"), BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore:   w.now.Add(-time.Hour), NotAfter: w.now.Add(24 * time.Hour),
	}
	for _, f := range change {
		f(c)
	}
	return &Credential{Chain: []*x509.Certificate{issue(w.t, ca, key, c)}, Key: key}
}

func (w *world) authority(parent *authority, cn string, change ...func(*x509.Certificate)) *authority {
	w.t.Helper()
	var key crypto.Signer = rsaKeys()[1]
	c := &x509.Certificate{
		RawSubject: labName(cn), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(24 * time.Hour),
	}
	for _, f := range change {
		f(c)
	}
	if c.PublicKey != nil { // a test's own key, as for forge
		key, c.PublicKey = c.PublicKey.(crypto.Signer), nil
	}
	return &authority{issue(w.t, parent, key, c), key}
}

// proxy signs a proxy of which change may break any rule.
func (w *world) proxy(issuer *Credential, change ...func(*x509.Certificate)) *Credential {
	w.t.Helper()
	return forge(w.t, issuer, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = w.now.Add(-5*time.Minute), w.now.Add(time.Hour)
		c.KeyUsage |= x509.KeyUsageKeyEncipherment
		c.PublicKey = rsaKeys()[len(issuer.Chain)%2]
		for _, f := range change {
			f(c)
		}
	})
}

// install adds to a trust directory, which has the root, what the kinds need
// beside it.
func (w *world) install(dir string) {
	w.t.Helper()
	w.anchor(dir, w.sub)
	w.add(dir, w.root, ".r0", makeCRL(w.t, w.root, w.now.Add(-time.Hour), w.now.Add(24*time.Hour), w.revoked.Leaf().SerialNumber))
}

// anchor makes a CA trusted, for names of the laboratory's.
func (w *world) anchor(dir string, ca *authority) {
	w.t.Helper()
	w.add(dir, ca, ".0", pemOf(ca.cert))
	w.add(dir, ca, ".signing_policy", []byte("access_id_CA X509 '"+subjectText(ca.cert)+"'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/O=Lab/*\"'\n"))
}

func (w *world) add(dir string, ca *authority, ext string, data []byte) {
	w.t.Helper()
	for _, stem := range stems(ca.cert.RawSubject) {
		if err := os.WriteFile(filepath.Join(dir, stem+ext), data, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

// file makes the text of a kind.
func (w *world) file(k kind) []byte {
	w.t.Helper()
	cred := k.cred(w)
	if k.text == nil {
		return globusOrder(w, cred)
	}
	return k.text(w, cred)
}

// judge is our verdict: nil, a Fault, a TrustReason, a voms.Reason or an error
// of ParseCredential.
func (w *world) judge(dir *TrustDir, text []byte) (any, error) {
	cred, err := ParseCredential(text)
	if err != nil {
		return err, err
	}
	if err := cred.Verify(VerifyOptions{Now: w.now}); err != nil {
		var ce *ChainError
		if errors.As(err, &ce) {
			return ce.Fault, err
		}
		return err, err
	}
	if err := dir.Verify(cred.Chain, w.now, TrustOptions{}); err != nil {
		var te *TrustError
		if errors.As(err, &te) {
			return te.Reason, err
		}
		return err, err
	}
	vomsDir, err := voms.OpenDir(w.vomsDir)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := dir.VerifyVOMS(cred.Chain, vomsDir, w.now, TrustOptions{}); err != nil {
		var ve *voms.VerifyError
		if errors.As(err, &ve) {
			return ve.Reason, err
		}
		return err, err
	}
	return nil, nil
}

// examine checks that Examine finds first what Verify finds, and nothing in
// what is good but that a proxy outlives its issuer.
func (w *world) examine(text []byte, k kind) {
	w.t.Helper()
	cred, err := ParseCredential(text)
	if err != nil {
		return
	}
	faults := Examine(cred, VerifyOptions{Now: w.now})
	switch want, isFault := k.want.(Fault); {
	case isFault && (len(faults) == 0 || faults[0].Fault != want):
		w.t.Errorf("Examine found %v, want %s first", faults, want)
	case !isFault:
		faults = slices.DeleteFunc(faults, func(e *ChainError) bool { return e.Fault == FaultOutlives })
		if len(faults) > 0 {
			w.t.Errorf("Examine found %v, Verify nothing", faults)
		}
	}
}

// sameVerdict compares what judge said with the want of a kind.
func sameVerdict(got, want any) bool {
	if wanted, ok := want.(error); ok {
		err, ok := got.(error)
		return ok && errors.Is(err, wanted)
	}
	return got == want
}

// TestProxies: our verdict on every kind. TestClients asks the others.
func TestProxies(t *testing.T) {
	w := newWorld(t, nil)
	path := t.TempDir()
	w.install(path)
	w.anchor(path, w.root)
	dir, err := OpenTrustDir(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, s := range kinds() {
		for _, k := range s.kinds {
			t.Run(k.name, func(t *testing.T) {
				w.t = t
				text := w.file(k)
				if got, err := w.judge(dir, text); !sameVerdict(got, k.want) {
					t.Errorf("got %v (%v), want %v", got, err, k.want)
				}
				w.examine(text, k)
			})
			if seen[k.name] {
				t.Errorf("two kinds are called %q", k.name)
			}
			seen[k.name] = true
		}
	}
	if n := len(seen); n < 65 {
		t.Errorf("only %d kinds", n)
	}
}

// Changes of a certificate, for eec and proxy.

func with(extensions ...pkix.Extension) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, extensions...) }
}

func marked(info ...pkix.Extension) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtraExtensions = info }
}

func signedWith(algorithm x509.SignatureAlgorithm) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.SignatureAlgorithm = algorithm }
}

func named(raw []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.RawSubject = raw }
}

func keyed(key crypto.Signer) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.PublicKey = key }
}

func usage(bits x509.KeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.KeyUsage = bits }
}

func (w *world) times(from, until time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = w.now.Add(from), w.now.Add(until) }
}
