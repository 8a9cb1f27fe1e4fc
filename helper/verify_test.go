package helper

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// TestVerification: nothing that is wrong reaches the cache or the caller.
func TestVerification(t *testing.T) {
	tests := []struct {
		name    string
		request string
		spoil   func(*world, *Result)
		code    Code
	}{
		{"another key", `{}`, func(w *world, r *Result) { _, e := makeCA(t, w.now, "Eve"); r.Chain[0] = e.Chain[0] }, CodeInvalidCredential},
		{"chain cut short", `{}`, func(w *world, r *Result) { r.Chain = r.Chain[:1] }, CodeInvalidCredential},
		{"no certificate", `{}`, func(w *world, r *Result) { r.Chain = nil }, CodeInvalidCredential},
		{"another issuer", `{}`, func(w *world, r *Result) { _, e := makeCA(t, w.now, "Jane"); r.Chain[1] = e.Chain[0] }, CodeInvalidCredential},
		{"no attributes", `{"voms":["atlas"]}`, func(*world, *Result) {}, CodeInvalidCredential},
		{"not valid yet", `{}`, func(w *world, r *Result) { w.now = w.now.Add(-time.Hour) }, CodeClockSkew},
		{"expired", `{}`, func(w *world, r *Result) { w.now = w.now.Add(13 * time.Hour) }, CodeInvalidCredential},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "")
			w.storePass(t, "right")
			w.issuer.spoil = func(r *Result) { test.spoil(w, r) }
			w.refused(t, test.request, test.code)
			w.issuer.spoil = nil
			only := strings.Replace(test.request, "{", `{"cache":"only",`, 1)
			w.refused(t, strings.Replace(only, ",}", "}", 1), CodeNotFound)
		})
	}
}

// TestVOMS: attributes that were asked for must be there, in that order, and
// belong to the credential; their end is its end.
func TestVOMS(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	_, server := makeCA(t, w.now, "voms.example.org")
	_, eve := makeCA(t, w.now, "Eve")
	holder := w.issuer.eec.Chain[0]
	w.issuer.voms = func() (pkix.Extension, error) {
		return voms.Sign(voms.SignOptions{
			Issuer: server.Chain[0], Key: server.Key, Holder: holder, VO: "atlas", Host: "voms.example.org:15001",
			FQANs:     []string{"/atlas/Role=production", "/atlas"},
			NotBefore: w.now.Add(-time.Minute), NotAfter: w.now.Add(time.Hour), Serial: big.NewInt(7),
		})
	}
	a := w.must(t, `{"voms":["atlas:/atlas/Role=production"]}`)
	if len(a.Credential.VOMS) != 1 || a.Credential.VOMS[0].VO != "atlas" || a.Credential.ExpiresIn != 3600 {
		t.Errorf("got %+v", a.Credential)
	}
	w.must(t, `{"voms":["atlas"]}`)
	w.refused(t, `{"voms":["atlas:/atlas"]}`, CodeInvalidCredential) // there, but not as the first
	w.refused(t, `{"voms":["atlas:/atlas/Role=x"]}`, CodeInvalidCredential)
	w.refused(t, `{"voms":["cms"]}`, CodeInvalidCredential)
	holder = eve.Chain[0]
	w.refused(t, `{"cache":"bypass","voms":["atlas"]}`, CodeInvalidCredential)
	w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential) // nobody asked, but it is wrong all the same
}

// TestSupersededVOMS: servers look at the attributes nearest to the leaf alone,
// so what a proxy above has fulfils no wish.
func TestSupersededVOMS(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	_, server := makeCA(t, w.now, "voms.example.org")
	fqans := []string{"/atlas", "/atlas/Role=production"}
	holder := w.issuer.eec.Chain[0]
	w.issuer.voms = func() (pkix.Extension, error) {
		return voms.Sign(voms.SignOptions{
			Issuer: server.Chain[0], Key: server.Key, Holder: holder, VO: "atlas", Host: "voms.example.org:15001",
			FQANs: fqans, NotBefore: w.now.Add(-time.Minute), NotAfter: w.now.Add(time.Hour),
		})
	}
	const wish = `{"cache":"bypass","voms":["atlas:/atlas","atlas:/atlas/Role=production"]}`
	w.must(t, wish)
	extension, err := w.issuer.voms()
	if err != nil {
		t.Fatal(err)
	}
	w.issuer.eec, err = w.issuer.eec.Derive(w.issuer.eec.Key, gsi.IssueOptions{Now: w.now, Lifetime: time.Hour, Extensions: []pkix.Extension{extension}})
	if err != nil {
		t.Fatal(err)
	}
	fqans = fqans[:1]
	w.refused(t, wish, CodeInvalidCredential)
	if a := w.must(t, `{"cache":"bypass","voms":["atlas"]}`); len(a.Credential.VOMS) != 1 || len(a.Credential.VOMS[0].FQANs) != 1 {
		t.Errorf("got %+v", a.Credential.VOMS)
	}
}

// TestIdentity: a profile has one identity, from its configuration or its
// first login; another one is refused until somebody logs in again.
func TestIdentity(t *testing.T) {
	for _, dn := range []string{"/O=Lab/CN=Jane", "CN=Jane,O=Lab", "CN=Jane, O=Lab"} {
		w := newWorld(t, "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\nidentity = \""+dn+"\"\n")
		w.storePass(t, "right")
		w.must(t, `{}`)
		if a := w.must(t, `{}`); a.Source != SourceCache {
			t.Errorf("%s: the cached one is not recognised", dn)
		}
		_, w.issuer.eec = makeCA(t, w.now, "Eve")
		e := w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential)
		if !strings.Contains(e.Hint, `change "identity"`) { // a login would be refused as well
			t.Errorf("%s: the hint is %q", dn, e.Hint)
		}
	}

	w := newWorld(t, "")
	w.terminal.foreground, w.terminal.text = true, "right"
	if _, err := w.Login(t.Context(), LoginRequest{}); err != nil {
		t.Fatal(err)
	}
	w.must(t, `{"limited":true}`) // of Jane, in the cache
	_, w.issuer.eec = makeCA(t, w.now, "Eve")
	e := w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential)
	if !strings.Contains(e.Message, "Jane") || !strings.Contains(e.Message, "Eve") || !strings.Contains(e.Hint, "login p") {
		t.Errorf("does not name both, or what helps: %v (%s)", e, e.Hint)
	}
	if _, err := w.Login(t.Context(), LoginRequest{}); err != nil {
		t.Fatal(err)
	}
	if a := w.must(t, `{}`); a.Credential.Identity != "/O=Lab/CN=Eve" {
		t.Errorf("after a new login: %s", a.Credential.Identity)
	}
	if a := w.must(t, `{"limited":true}`); a.Credential.Identity != "/O=Lab/CN=Eve" {
		t.Errorf("from the %s after a new login: %s", a.Source, a.Credential.Identity)
	}
}

// TestIssuerUnknown: an anchor that is not here is a warning, or a refusal
// where the profile says so; one that says no is always a refusal.
func TestIssuer(t *testing.T) {
	w := newWorld(t, "")
	w.storePass(t, "right")
	if a := w.must(t, `{}`); !hasWarning(a, "issuer_unknown") {
		t.Errorf("warnings: %+v", a.Warnings)
	}
	p, err := w.Config.Profile("p")
	if err != nil {
		t.Fatal(err)
	}
	p.VerifyIssuer = true
	w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential)
	p.VerifyIssuer = false

	ca, eec := makeCA(t, w.now, "Jane")
	w.issuer.eec = eec
	p.CADir = filepath.Join(w.dir, "anchors")
	hash, err := gsi.SubjectHash(ca.RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.CADir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeCert(t, filepath.Join(p.CADir, hash+".0"), ca)
	w.refused(t, `{"cache":"bypass"}`, CodeInvalidCredential) // no signing policy
	policy := "access_id_CA X509 '/O=Lab/CN=Test CA'\npos_rights globus CA:sign\ncond_subjects globus '\"/O=Lab/*\"'\n"
	if err := os.WriteFile(filepath.Join(p.CADir, hash+".signing_policy"), []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := w.must(t, `{"cache":"bypass"}`); len(a.Warnings) != 0 {
		t.Errorf("with its anchor: %+v", a.Warnings)
	}
}

func writeCert(t *testing.T, file string, cert *x509.Certificate) {
	t.Helper()
	c := &gsi.Credential{Chain: []*x509.Certificate{cert}}
	if err := os.WriteFile(file, certPEM(c.Chain[0]), 0o644); err != nil {
		t.Fatal(err)
	}
}
