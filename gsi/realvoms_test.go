package gsi

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

var oidVOMS = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 5}

// realVOMS is proxies that the VOMS programs themselves have made, of two
// members and with two servers: one that runs, and one that is played by
// voms-proxy-fake.
type realVOMS struct {
	dir                      *TrustDir
	vomsDir                  *voms.Dir
	alice, production, bob   *Credential
	faked, fakedByOther, two *Credential
}

func newRealVOMS(t *testing.T) *realVOMS {
	t.Helper()
	lab.Require(t, lab.VOMSServer, lab.VOMSFake)
	ca := lab.NewCA(t, "Lab")
	alice, bob := ca.User("Alice"), ca.User("Bob")
	server := lab.StartVOMS(t, ca, lab.VOMSOptions{
		Members: []lab.VOMSMember{{User: alice, FQANs: []string{"/labvo/team", "/labvo/Role=production"}}, {User: bob}},
		MaxLife: 2 * time.Hour,
	})
	parse := func(text []byte) *Credential {
		cred, err := ParseCredential(text)
		if err != nil {
			t.Fatal(err)
		}
		return cred
	}
	r := &realVOMS{
		alice:        parse(server.ProxyInit(t, alice)),
		production:   parse(server.ProxyInit(t, alice, "-voms", "labvo:/labvo/Role=production")),
		bob:          parse(server.ProxyInit(t, bob)),
		faked:        parse(lab.FakeVOMS(t, ca, alice, lab.FakeVOMSOptions{})),
		fakedByOther: parse(lab.FakeVOMS(t, ca, alice, lab.FakeVOMSOptions{AA: ca.User("voms.example.org")})),
	}
	var err error
	if r.two, err = r.alice.Derive(rsaKeys()[0], IssueOptions{Now: time.Now(), Lifetime: 6 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if r.dir, err = OpenTrustDir(server.TrustDir); err != nil {
		t.Fatal(err)
	}
	if r.vomsDir, err = voms.OpenDir(server.VOMSDir); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *realVOMS) verify(chain []*x509.Certificate, now time.Time) error {
	return r.dir.VerifyVOMS(chain, r.vomsDir, now, TrustOptions{})
}

// attributesOf returns the extension as a VOMS program has made it.
func attributesOf(t *testing.T, c *x509.Certificate) pkix.Extension {
	t.Helper()
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidVOMS) })
	if i < 0 {
		t.Fatal("no VOMS attributes in the proxy")
	}
	return c.Extensions[i]
}

// carrying is the chain with the attributes of its leaf exchanged. The leaf's
// own signature breaks, which is not what VerifyVOMS looks at: a thief would
// make a proxy of his own around the attributes.
func carrying(t *testing.T, chain []*x509.Certificate, value []byte) []*x509.Certificate {
	t.Helper()
	leaf := *chain[0]
	leaf.Extensions = slices.Clone(leaf.Extensions)
	i := slices.IndexFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidVOMS) })
	leaf.Extensions[i].Value = value
	return append([]*x509.Certificate{&leaf}, chain[1:]...)
}

// wantVOMSReason is wantReason for several in one test.
func wantVOMSReason(t *testing.T, name string, err error, want voms.Reason) {
	t.Helper()
	var ve *voms.VerifyError
	if !errors.As(err, &ve) || ve.Reason != want {
		t.Errorf("%s: got %v, want %s", name, err, want)
	}
}

// TestRealVOMS: what a real voms-server and voms-proxy-fake sign is read and
// believed, and nothing that was made of it by cutting, changing or moving.
func TestRealVOMS(t *testing.T) {
	r := newRealVOMS(t)
	t.Run("good", r.testGood)
	t.Run("moved", r.testMoved)
	t.Run("cut", r.testCut)
	t.Run("changed", r.testChanged)
}

func (r *realVOMS) testGood(t *testing.T) {
	now := time.Now()
	const group, team, role = "/labvo/Role=NULL/Capability=NULL", "/labvo/team/Role=NULL/Capability=NULL", "/labvo/Role=production/Capability=NULL"
	for name, tt := range map[string]struct {
		cred  *Credential
		fqans []string
	}{
		"a member":            {r.alice, []string{group, team}},
		"a role":              {r.production, []string{role, group, team}},
		"another member":      {r.bob, []string{group}},
		"voms-proxy-fake":     {r.faked, []string{group}},
		"a proxy made of one": {r.two, []string{group, team}},
	} {
		if err := tt.cred.Verify(VerifyOptions{Now: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.dir.Verify(tt.cred.Chain, now, TrustOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.verify(tt.cred.Chain, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		info, err := Inspect(tt.cred.Chain)
		if err != nil || len(info.VOMS) != 1 {
			t.Errorf("%s: %d attribute certificates, %v", name, len(info.VOMS), err)
			continue
		}
		a := info.VOMS[0]
		if a.VO != "labvo" || a.URI() != "localhost:15000" || !slices.Equal(a.FQANs, tt.fqans) {
			t.Errorf("%s: %s of %s: %s", name, a.FQANs, a.VO, a.URI())
		}
		// The server gives attributes for two hours, the proxy has twelve.
		if info.NotAfter.After(a.NotAfter) || !a.HeldBy(tt.cred.Chain[len(tt.cred.Chain)-1]) {
			t.Errorf("%s: until %s, attributes until %s", name, info.NotAfter, a.NotAfter)
		}
	}
}

func (r *realVOMS) testMoved(t *testing.T) {
	now := time.Now()
	of := func(cred *Credential) []byte { return attributesOf(t, cred.Leaf()).Value }
	wantVOMSReason(t, "Bob's attributes in Alice's proxy", r.verify(carrying(t, r.alice.Chain, of(r.bob)), now), voms.ReasonHolder)
	wantVOMSReason(t, "Alice's attributes in Bob's proxy", r.verify(carrying(t, r.bob.Chain, of(r.production)), now), voms.ReasonHolder)
	// A member of the VO needs no broken signature for that.
	stolen, err := r.bob.Derive(rsaKeys()[0], IssueOptions{
		Now: now, Lifetime: time.Hour, Extensions: []pkix.Extension{attributesOf(t, r.production.Leaf())},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := stolen.Verify(VerifyOptions{Now: now}); err != nil {
		t.Error(err)
	}
	wantVOMSReason(t, "Alice's role in a proxy that Bob has made", r.verify(stolen.Chain, now), voms.ReasonHolder)
	wantVOMSReason(t, "a server that vomsdir does not name", r.verify(r.fakedByOther.Chain, now), voms.ReasonLSCMismatch)
	wantVOMSReason(t, "three hours later", r.verify(r.alice.Chain, now.Add(3*time.Hour)), voms.ReasonExpired)
}

func (r *realVOMS) testCut(t *testing.T) {
	now := time.Now()
	value := attributesOf(t, r.production.Leaf()).Value
	for n := range value {
		wantVOMSReason(t, "cut", r.verify(carrying(t, r.production.Chain, value[:n]), now), voms.ReasonMalformed)
	}
}

// testChanged: no byte of what a server has signed can be changed, nor of its
// signature.
func (r *realVOMS) testChanged(t *testing.T) {
	now := time.Now()
	value := attributesOf(t, r.production.Leaf()).Value
	for i := range value {
		changed := slices.Clone(value)
		changed[i] ^= 1
		var ve *voms.VerifyError
		if err := r.verify(carrying(t, r.production.Chain, changed), now); !errors.As(err, &ve) {
			t.Errorf("byte %d of %d changed: %v", i, len(value), err)
		}
	}
	for _, tt := range []struct{ from, to string }{
		{"/Role=production", "/Role=superuser."},
		{"labvo://localhost:15000", "labvo://localhost:15001"},
	} {
		changed := bytes.ReplaceAll(value, []byte(tt.from), []byte(tt.to))
		if bytes.Equal(changed, value) {
			t.Fatalf("no %s in the attributes", tt.from)
		}
		wantVOMSReason(t, tt.to, r.verify(carrying(t, r.production.Chain, changed), now), voms.ReasonSignature)
	}
}
