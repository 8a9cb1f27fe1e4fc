package gsi

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// vomsFixture is a trust directory, and a vomsdir with one server of "labvo".
type vomsFixture struct {
	*trustFixture
	server  *Credential
	vomsdir *voms.Dir
}

func newVOMS(t testing.TB) *vomsFixture {
	t.Helper()
	f := &vomsFixture{trustFixture: newTrust(t)}
	f.server = newEEC(t, f.sub, "voms.example.org")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "labvo"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "labvo", "voms.example.org.lsc"), []byte("/C=XX/O=Lab/CN=voms.example.org\n/C=XX/O=Lab/CN=Sub CA\n"))
	var err error
	if f.vomsdir, err = voms.OpenDir(dir); err != nil {
		t.Fatal(err)
	}
	return f
}

// sign gives holder's attributes to a proxy.
func (f *vomsFixture) sign(t testing.TB, holder *Credential, change ...func(*voms.SignOptions)) IssueOptions {
	t.Helper()
	opts := voms.SignOptions{
		Issuer: f.server.Leaf(), Key: f.server.Key, Holder: holder.Leaf(),
		VO: "labvo", Host: "voms.example.org:15000", FQANs: []string{"/labvo/Role=NULL/Capability=NULL"},
		NotBefore: testTime.Add(-time.Minute), NotAfter: testTime.Add(time.Hour),
	}
	for _, c := range change {
		c(&opts)
	}
	ext, err := voms.Sign(opts)
	if err != nil {
		t.Fatal(err)
	}
	return IssueOptions{Extensions: []pkix.Extension{ext}}
}

func wantReason(t testing.TB, err error, want voms.Reason) {
	t.Helper()
	var ve *voms.VerifyError
	switch {
	case want == "" && err != nil:
		t.Fatal(err)
	case want != "" && (!errors.As(err, &ve) || ve.Reason != want):
		t.Fatalf("got %v, want %s", err, want)
	}
}

// TestVerifyVOMS: attributes belong to the end-entity certificate however long
// the chain, and only those nearest to the leaf count, for good and for ill.
func TestVerifyVOMS(t *testing.T) {
	f := newVOMS(t)
	eve := newEEC(t, f.sub, "Eve")
	expired := func(o *voms.SignOptions) { o.NotAfter = testTime.Add(-time.Second) }
	with := derive(t, f.user, f.sign(t, f.user))
	for _, tt := range []struct {
		name string
		cred *Credential
		want voms.Reason
	}{
		{"no attributes", derive(t, f.user, IssueOptions{}), ""},
		{"no proxy", f.user, ""},
		{"good", with, ""},
		{"a proxy of it", derive(t, with, IssueOptions{}), ""},
		{"in a proxy of a proxy", derive(t, derive(t, f.user, IssueOptions{}), f.sign(t, f.user)), ""},
		{"somebody else's", derive(t, f.user, f.sign(t, eve)), voms.ReasonHolder},
		{"the first proxy's own", derive(t, with, f.sign(t, with)), voms.ReasonHolder},
		{"expired", derive(t, f.user, f.sign(t, f.user, expired)), voms.ReasonExpired},
		{"renewed below", derive(t, derive(t, f.user, f.sign(t, f.user, expired)), f.sign(t, f.user)), ""},
		{"expired below good ones", derive(t, with, f.sign(t, f.user, expired)), voms.ReasonExpired},
		{"malformed", derive(t, f.user, IssueOptions{Extensions: []pkix.Extension{{Id: f.sign(t, f.user).Extensions[0].Id, Value: []byte{5, 0}}}}), voms.ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantReason(t, f.open(t).VerifyVOMS(tt.cred.Chain, f.vomsdir, testTime, TrustOptions{}), tt.want)
		})
	}
	var ce *ChainError
	if err := f.open(t).VerifyVOMS(with.Chain[:1], f.vomsdir, testTime, TrustOptions{}); !errors.As(err, &ce) {
		t.Errorf("a chain without its end: %v", err)
	}
}

// TestVerifyVOMSTrust: the server's certificate is judged like any other, and
// the reason is passed on.
func TestVerifyVOMSTrust(t *testing.T) {
	f := newVOMS(t)
	chain := derive(t, f.user, f.sign(t, f.user)).Chain
	f.crl(t, f.sub, ".r0", testTime.Add(time.Hour), f.server.Leaf().SerialNumber)
	err := f.open(t).VerifyVOMS(chain, f.vomsdir, testTime, TrustOptions{})
	wantReason(t, err, voms.ReasonUntrusted)
	wantTrust(t, err, TrustRevoked, f.name(t, f.sub, ".r0"))
	wantReason(t, f.open(t).VerifyVOMS(chain, f.vomsdir, testTime, TrustOptions{CRL: CRLIgnore}), "")
	f.remove(t, f.sub, ".r0")

	// Without a vomsdir any server will do, but not of any CA.
	other := f.server
	f.server = f.user
	wantReason(t, f.open(t).VerifyVOMS(derive(t, f.user, f.sign(t, f.user)).Chain, nil, testTime, TrustOptions{}), "") // as its comment warns
	f.server = newEEC(t, f.sub, "some.host.example.org")
	chain = derive(t, f.user, f.sign(t, f.user)).Chain
	wantReason(t, f.open(t).VerifyVOMS(chain, f.vomsdir, testTime, TrustOptions{}), voms.ReasonLSCMismatch)
	wantReason(t, f.open(t).VerifyVOMS(chain, nil, testTime, TrustOptions{}), "")
	f.server = newEEC(t, newCA(t, "Sub CA", newCA(t, "Root", nil)), "voms.example.org") // all names are right
	chain = derive(t, f.user, f.sign(t, f.user)).Chain
	for _, dir := range []*voms.Dir{f.vomsdir, nil} {
		wantReason(t, f.open(t).VerifyVOMS(chain, dir, testTime, TrustOptions{}), voms.ReasonUntrusted)
	}
	f.server = other
}

// rsaVOMS is the same with RSA-2048 for all, CAs too, as in real grids.
func rsaVOMS(b *testing.B) *vomsFixture {
	f := newVOMS(b)
	keys := rsaKeys()
	for _, old := range []*authority{f.root, f.sub} {
		f.remove(b, old, ".0")
	}
	again := func(by *authority, key *rsa.PrivateKey, c *x509.Certificate) *x509.Certificate {
		c.SignatureAlgorithm, c.PublicKey = x509.UnknownSignatureAlgorithm, key.Public() // what fits the key
		return issue(b, by, key, c)
	}
	f.root = &authority{again(nil, keys[0], f.root.cert), keys[0]}
	f.sub = &authority{again(f.root, keys[1], f.sub.cert), keys[1]}
	for _, ca := range []*authority{f.root, f.sub} {
		f.add(b, ca, ".0", pemOf(ca.cert))
	}
	for key, cred := range []*Credential{f.server, f.user} {
		cred.Chain[0], cred.Key = again(f.sub, keys[key], cred.Leaf()), keys[key]
	}
	return f
}

// BenchmarkVerifyVOMS is a proxy of a proxy with attributes: everything from
// the text to the CAs of the user and of the VOMS server. "attributes" is the part of VerifyVOMS, and
// "signatures" that of voms.Verify without a CA.
func BenchmarkVerifyVOMS(b *testing.B) {
	f, keys := rsaVOMS(b), rsaKeys()
	cred, err := f.user.Derive(keys[0], proxyTimes(f.sign(b, f.user)))
	if err != nil {
		b.Fatal(err)
	}
	if cred, err = cred.Derive(keys[1], proxyTimes(IssueOptions{})); err != nil {
		b.Fatal(err)
	}
	text, err := cred.PEM()
	if err != nil {
		b.Fatal(err)
	}
	trust := f.open(b)
	b.Run("signatures", func(b *testing.B) {
		for b.Loop() {
			found, err := voms.Parse(cred.Chain[1])
			if err != nil {
				b.Fatal(err)
			}
			if err := voms.Verify(&found[0], voms.VerifyOptions{Now: testTime, Holder: f.user.Leaf(), Dir: f.vomsdir}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("attributes", func(b *testing.B) {
		for b.Loop() {
			if err := trust.VerifyVOMS(cred.Chain, f.vomsdir, testTime, TrustOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			cred, err := ParseCredential(text)
			if err != nil {
				b.Fatal(err)
			}
			if err := cred.Verify(VerifyOptions{Now: testTime}); err != nil {
				b.Fatal(err)
			}
			if err := trust.Verify(cred.Chain, testTime, TrustOptions{}); err != nil {
				b.Fatal(err)
			}
			if err := trust.VerifyVOMS(cred.Chain, f.vomsdir, testTime, TrustOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
