package voms_test

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// withKeyID gives a certificate the key identifier of another one's key.
func withKeyID(t *testing.T, other *x509.Certificate) func(*x509.Certificate) {
	var spki struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(other.RawSubjectPublicKeyInfo, &spki); err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(spki.Key.Bytes)
	return func(c *x509.Certificate) { c.SubjectKeyId = sum[:] }
}

// fakeWorld is the world on files, as voms-proxy-fake wants it: it takes the
// key identifier from the server's certificate, where libvomsapi expects the
// key's hash.
func fakeWorld(t *testing.T, dir string) *world {
	t.Helper()
	if _, err := exec.LookPath("voms-proxy-fake"); err != nil {
		missing(t, "voms-proxy-fake", "voms-clients")
	}
	w := *newWorld()
	// It signs with the digest of the user's certificate, of which it finds none
	// in an ECDSA signature.
	w.root = issue(t, nil, "Root", rsaKeys()[0])
	w.aa = issue(t, w.root, labHost, rsaKeys()[0], withKeyID(t, w.aa.cert))
	w.jane = issue(t, w.root, "Jane", rsaKeys()[1], withKeyID(t, w.eve.cert))
	putCA(t, &w, filepath.Join(dir, "ca"))
	put(t, []byte(aaDN+"\n"+rootDN+"\n"), dir, "vomsdir", labVO, labHost+".lsc")
	for name, id := range map[string]*identity{"user": w.jane, "host": w.aa} {
		der, err := x509.MarshalPKCS8PrivateKey(id.key)
		if err != nil {
			t.Fatal(err)
		}
		key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		put(t, append(pemOf(id.cert), key...), dir, name+".pem")
	}
	return &w
}

func fake(t *testing.T, dir string, args ...string) []*x509.Certificate {
	t.Helper()
	file := func(name string) string { return filepath.Join(dir, name) }
	cmd := exec.Command("voms-proxy-fake", append([]string{
		"-q", "-rfc", "-bits", "1024", "-hours", "3", "-cert", file("user.pem"), "-key", file("user.pem"),
		"-hostcert", file("host.pem"), "-hostkey", file("host.pem"), "-certdir", file("ca"), "-out", file("proxy"),
		"-voms", labVO, "-uri", labHost + ":15001",
	}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "RANDFILE="+file("rnd"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file("proxy"))
	if err != nil {
		t.Fatal(err)
	}
	cred, err := gsi.ParseCredential(text)
	if err != nil {
		t.Fatal(err)
	}
	return cred.Chain
}

// TestVOMSProxyFake: what another implementation writes is read and verified,
// in both formats of the holder. It cannot write targets (measured: 2.1.0~rc3
// writes an empty list, or crashes).
func TestVOMSProxyFake(t *testing.T) {
	dir := t.TempDir()
	w := fakeWorld(t, dir)
	for _, tt := range []struct {
		name string
		args []string
		want voms.Reason
	}{
		{"old format", nil, ""},
		{"new format", []string{"-newformat"}, ""},
		{"another VO's FQAN", []string{"-newformat", "-fqan", "/atlas"}, voms.ReasonVO},
		{"expired", []string{"-newformat", "-pastac", "9:00", "-vomslife", "1"}, voms.ReasonExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chain := fake(t, dir, append([]string{
				"-fqan", "/labvo/Role=production/Capability=NULL", "-fqan", "/labvo",
				"-ga", "nickname = jane", "-ga", "path = /a=b (/labvo/sub)",
			}, tt.args...)...)
			found, err := voms.Parse(chain[0])
			if err != nil || len(found) != 1 {
				t.Fatalf("%d, %v", len(found), err)
			}
			a := found[0]
			if a.VO != labVO || a.URI() != labHost+":15001" || !slices.Equal(a.FQANs[:2], []string{"/labvo/Role=production/Capability=NULL", "/labvo"}) {
				t.Errorf("%s %s %q", a.VO, a.URI(), a.FQANs)
			}
			if len(a.Chain) != 1 || !a.Chain[0].Equal(w.aa.cert) || a.SignatureAlgorithm == 0 || len(a.Raw) == 0 {
				t.Errorf("%d certificates, %s", len(a.Chain), a.SignatureAlgorithm)
			}
			want := []voms.GenericAttribute{{Name: "nickname", Value: "jane", Qualifier: labVO}, {Name: "path", Value: "/a=b ", Qualifier: "/labvo/sub"}}
			if !slices.Equal(a.Generic, want) {
				t.Errorf("generic attributes %q", a.Generic)
			}
			w.now = time.Now()
			err = verify(t, w, dir, chain)
			var ve *voms.VerifyError
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &ve) || ve.Reason != tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if said := judge(t, dir)[0]; (said == "verified") != (tt.want == "") {
				t.Errorf("libvomsapi says: %s", said)
			}
		})
	}
}
