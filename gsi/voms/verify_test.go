package voms_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// verifyCase is a proxy with attributes, and what Verify and libvomsapi say.
type verifyCase struct {
	name string
	want voms.Reason // "" for good ones

	aa     func(w *world) *identity              // who signs; nil: the VO's server
	change func(w *world, o *voms.SignOptions)   // before
	info   func(w *world, info *voms.SignedInfo) // the signed part
	digest crypto.Hash
	tamper func(w *world, der []byte) []byte // after
	moved  bool                              // into a proxy of Eve's
	lsc    string                            // "-": none; "": the right one
	pem    string                            // where the server's certificate lies in the vomsdir
	// forgedPEM is where another one of its name lies.
	forgedPEM string

	// stricter says why Verify refuses what libvomsapi 2.1 accepts.
	stricter string
	// unasked: libvomsapi's verdict is not what the case is about.
	unasked bool
}

func forgedAA(w *world) *identity { return w.forgedAA }

func drop(oid asn1.ObjectIdentifier) func(*world, *voms.SignedInfo) {
	return func(_ *world, info *voms.SignedInfo) {
		info.Extensions = slices.DeleteFunc(info.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oid) })
	}
}

func critical(oid asn1.ObjectIdentifier) func(*world, *voms.SignedInfo) {
	return func(_ *world, info *voms.SignedInfo) {
		for i := range info.Extensions {
			info.Extensions[i].Critical = info.Extensions[i].Critical || info.Extensions[i].Id.Equal(oid)
		}
	}
}

func replace(old, new string) func(*world, []byte) []byte {
	return func(_ *world, der []byte) []byte { return bytes.Replace(der, []byte(old), []byte(new), 1) }
}

func fqans(f ...string) func(*world, *voms.SignOptions) {
	return func(_ *world, o *voms.SignOptions) { o.FQANs = f }
}

func times(from, to time.Duration) func(*world, *voms.SignOptions) {
	return func(w *world, o *voms.SignOptions) { o.NotBefore, o.NotAfter = w.now.Add(from), w.now.Add(to) }
}

func thisHost() string { host, _ := os.Hostname(); return host }

const tolerance = "libvomsapi adds five minutes at both ends"

var verifyCases = []verifyCase{
	{name: "good"},
	{name: "ECDSA", aa: func(w *world) *identity { return w.ecAA }, unasked: true},
	{name: "ECDSA, FQAN changed", want: voms.ReasonSignature, aa: func(w *world) *identity { return w.ecAA },
		tamper: replace("production", "PRODUCTION"), unasked: true},
	{name: "no FQAN", change: fqans()},
	{name: "the VO alone", change: fqans("/labvo")},
	{name: "holder in the old format", info: func(w *world, info *voms.SignedInfo) {
		info.Holder.Base.Issuer[0].Bytes = w.jane.cert.RawSubject
	}},
	{name: "second chain of the list", lsc: "# old\n/C=XX/CN=old\n/C=XX/CN=older\n------ NEXT CHAIN ------\n\n  " + aaDN + " \r\n" + rootDN + "\r\n"},
	{name: "quoted names", lsc: `"` + aaDN + "\"\n\"" + rootDN + "\"\n"},
	{name: "CA between, sent along", aa: func(w *world) *identity { return w.belowSub },
		change: func(w *world, o *voms.SignOptions) { o.Above = []*x509.Certificate{w.subCA.cert} },
		lsc:    aaDN + "\n/C=XX/O=Lab/CN=Sub\n/C=XX/O=Lab/CN=Sub\n" + rootDN + "\n"},
	{name: "certificate in the VO's directory", lsc: "-", pem: "labvo/x.pem"},
	{name: "certificate in the directory", lsc: "-", pem: "x.pem"},
	{name: "certificate in the directory only", lsc: "-", pem: "x.pem", info: drop(voms.OIDCerts)},
	{name: "certificate in the directory beside a list", pem: "x.pem", info: drop(voms.OIDCerts)},
	{name: "generic attributes", change: func(_ *world, o *voms.SignOptions) {
		o.Generic = []voms.GenericAttribute{{Name: "nickname", Value: "jane"}}
	}},
	{name: "for this host", change: func(_ *world, o *voms.SignOptions) { o.Targets = []string{"a.example.org", thisHost()} }},

	// Forged.
	{name: "FQAN changed", want: voms.ReasonSignature, tamper: replace("production", "PRODUCTION")},
	{name: "VO and FQANs changed", want: voms.ReasonLSCMissing, tamper: func(_ *world, der []byte) []byte {
		return bytes.ReplaceAll(der, []byte("labvo"), []byte("other"))
	}},
	{name: "cut off", want: voms.ReasonMalformed, tamper: func(_ *world, der []byte) []byte { return der[:len(der)-1] }},
	{name: "signature changed", want: voms.ReasonSignature, tamper: func(_ *world, der []byte) []byte {
		out := slices.Clone(der)
		out[len(out)-1] ^= 1
		return out
	}},
	{name: "server's certificate exchanged afterwards", want: voms.ReasonSignature, aa: forgedAA,
		tamper: func(w *world, der []byte) []byte { return bytes.Replace(der, w.forgedAA.cert.Raw, padded(w), 1) }},
	{name: "server's certificate exchanged", want: voms.ReasonSignature, change: func(w *world, o *voms.SignOptions) { o.Issuer = w.forgedAA.cert }},
	{name: "server of another name", want: voms.ReasonLSCMismatch, aa: func(w *world) *identity { return w.eve }},
	{name: "server of that name, of an unknown CA of that name", want: voms.ReasonUntrusted, aa: forgedAA},
	{name: "the same, with its root", want: voms.ReasonUntrusted, aa: forgedAA,
		change: func(w *world, o *voms.SignOptions) { o.Above = []*x509.Certificate{w.forgedRoot.cert} },
		lsc:    aaDN + "\n" + rootDN + "\n" + rootDN + "\n" + rootDN + "\n", unasked: true},
	{name: "issuer is not the server", want: voms.ReasonNoAA, info: func(w *world, info *voms.SignedInfo) {
		info.Issuer.Names[0].Bytes = w.eve.cert.RawSubject
	}},
	{name: "key identifier of another key", want: voms.ReasonKeyID, info: func(_ *world, info *voms.SignedInfo) {
		info.Extensions[1].Value[5] ^= 1
	}},

	// Somebody else's.
	{name: "in another user's proxy", want: voms.ReasonHolder, moved: true},
	{name: "of another user", want: voms.ReasonHolder, change: func(w *world, o *voms.SignOptions) { o.Holder = w.eve.cert }},
	{name: "other serial number", want: voms.ReasonHolder, info: func(_ *world, info *voms.SignedInfo) {
		info.Holder.Base.Serial = big.NewInt(1)
	}},
	{name: "two names of the holder", want: voms.ReasonMalformed, info: func(_ *world, info *voms.SignedInfo) {
		info.Holder.Base.Issuer = append(info.Holder.Base.Issuer, info.Holder.Base.Issuer[0])
	}},
	{name: "FQAN of another VO", want: voms.ReasonVO, change: fqans("/labvo", "/atlas/Role=production")},
	{name: "FQAN of a VO of similar name", want: voms.ReasonVO, change: fqans("/labvo2")},
	{name: "generic attributes of another VO", want: voms.ReasonVO, info: otherGrantor, stricter: "libvomsapi does not look"},
	{name: "VO that leads out of the directory", want: voms.ReasonMalformed, change: func(_ *world, o *voms.SignOptions) {
		o.VO, o.FQANs = "../vomsdir/labvo", nil
	}, unasked: true},
	{name: "host that leads elsewhere", want: voms.ReasonMalformed, change: func(_ *world, o *voms.SignOptions) {
		o.Host = "../labvo/" + labHost + ":15001"
	}, unasked: true},
	{name: "host without a port", want: voms.ReasonMalformed, change: func(_ *world, o *voms.SignOptions) { o.Host = labHost }},

	// The vomsdir.
	{name: "unknown to the vomsdir", want: voms.ReasonLSCMissing, lsc: "-"},
	{name: "other issuer in the list", want: voms.ReasonLSCMismatch, lsc: aaDN + "\n/C=XX/O=Lab/CN=Other\n"},
	{name: "issuer missing in the list", want: voms.ReasonBadFile, lsc: aaDN + "\n"},
	{name: "longer chain in the list", want: voms.ReasonLSCMismatch, lsc: aaDN + "\n" + rootDN + "\n" + rootDN + "\n" + rootDN + "\n",
		stricter: "libvomsapi compares as much as was sent; the Java library refuses"},
	{name: "longer chain sent", want: voms.ReasonLSCMismatch, change: func(w *world, o *voms.SignOptions) {
		o.Above = []*x509.Certificate{w.subCA.cert}
	}},
	{name: "a list decides, not the certificate beside it", want: voms.ReasonLSCMismatch, lsc: "/C=XX/CN=a\n/C=XX/CN=b\n", pem: "labvo/x.pem"},
	{name: "certificate neither sent nor there", want: voms.ReasonNoAA, info: drop(voms.OIDCerts)},
	{name: "certificate in the directory is another's of that name", want: voms.ReasonSignature, lsc: "-", pem: "x.pem", aa: forgedAA},

	{name: "two certificates of that name in the directory", lsc: "-", pem: "labvo/b.pem", forgedPEM: "labvo/a.pem"},
	{name: "a forged certificate of that name beside the list", forgedPEM: "labvo/a.pem"},

	// The server's certificate.
	{name: "expired server", want: voms.ReasonUntrusted, aa: func(w *world) *identity { return w.expiredAA }},
	{name: "CA as the server", want: voms.ReasonUntrusted, aa: func(w *world) *identity { return w.caAA }, stricter: "RFC 5755 section 4.5"},
	{name: "server that may not sign", want: voms.ReasonUntrusted, aa: func(w *world) *identity { return w.nosignAA }, stricter: "RFC 5755 section 4.5"},
	{name: "RSA 1024", want: voms.ReasonWeakKey, aa: func(w *world) *identity { return w.weakAA }, stricter: "the strength that TLS servers ask for"},
	{name: "SHA-1", want: voms.ReasonSHA1, digest: crypto.SHA1,
		info: func(_ *world, info *voms.SignedInfo) { voms.RSAWithSHA1(info) }, stricter: "the strength that TLS servers ask for"},

	// The form.
	{name: "unknown critical extension", want: voms.ReasonUnknownCritical, info: func(_ *world, info *voms.SignedInfo) {
		info.Extensions = append(info.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
	}},
	{name: "unknown extension", info: func(_ *world, info *voms.SignedInfo) {
		info.Extensions = append(info.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}})
	}},
	{name: "critical noRevAvail", want: voms.ReasonUnknownCritical, info: critical(voms.OIDNoRevAvail)},
	{name: "no noRevAvail", want: voms.ReasonMalformed, info: drop(voms.OIDNoRevAvail)},
	{name: "noRevAvail that is not empty", want: voms.ReasonMalformed, info: func(_ *world, info *voms.SignedInfo) {
		info.Extensions[0].Value = []byte{4, 1, 0}
	}, stricter: "RFC 3281 section 4.3.6"},
	{name: "key named in another way", want: voms.ReasonKeyID, info: func(_ *world, info *voms.SignedInfo) {
		info.Extensions[1].Value = []byte{0x30, 0}
	}, unasked: true},
	{name: "no key identifier", want: voms.ReasonMalformed, info: drop(voms.OIDAKI)},
	{name: "an extension twice", want: voms.ReasonMalformed, info: func(_ *world, info *voms.SignedInfo) {
		info.Extensions = append(info.Extensions, info.Extensions[0])
	}, stricter: "libvomsapi takes the first"},
	{name: "version 1", want: voms.ReasonMalformed, info: func(_ *world, info *voms.SignedInfo) { info.Version = 0 }, stricter: "RFC 3281 section 4.1"},
	{name: "serial number of 21 bytes", want: voms.ReasonMalformed, change: func(_ *world, o *voms.SignOptions) {
		o.Serial = new(big.Int).Lsh(big.NewInt(1), 162)
	}},
	{name: "two names of the issuer", want: voms.ReasonMalformed, info: func(_ *world, info *voms.SignedInfo) {
		info.Issuer.Names = append(info.Issuer.Names, info.Issuer.Names[0])
	}},
	{name: "two lists of FQANs", want: voms.ReasonMalformed, info: func(_ *world, info *voms.SignedInfo) {
		info.Attributes = append(info.Attributes, info.Attributes[0])
	}, stricter: "libvomsapi takes the first"},
	{name: "two lists of FQANs in one attribute", want: voms.ReasonMalformed, info: func(_ *world, info *voms.SignedInfo) {
		values := &info.Attributes[0].Values
		*values = append(*values, (*values)[0])
	}},
	{name: "no attribute", want: voms.ReasonMalformed, info: func(_ *world, info *voms.SignedInfo) { info.Attributes = nil }},
	{name: "two signature algorithms", want: voms.ReasonMalformed, tamper: func(_ *world, der []byte) []byte {
		at := bytes.LastIndex(der, []byte{0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 11})
		out := slices.Clone(der)
		out[at+8] = 12
		return out
	}},

	// Place and time.
	{name: "for another host", want: voms.ReasonTarget, change: func(_ *world, o *voms.SignOptions) { o.Targets = []string{"a.example.org"} }},
	{name: "expired", want: voms.ReasonExpired, change: times(-2*time.Hour, -time.Hour)},
	{name: "expired just now", want: voms.ReasonExpired, change: times(-2*time.Hour, -2*time.Minute), stricter: tolerance},
	{name: "not yet valid", want: voms.ReasonNotYetValid, change: times(time.Hour, 2*time.Hour)},
	{name: "not yet valid by minutes", want: voms.ReasonNotYetValid, change: times(2*time.Minute, 2*time.Hour), stricter: tolerance},
}

// padded is the real server's certificate in the place of the forged one, so
// that all lengths stay right.
func padded(w *world) []byte {
	if len(w.aa.cert.Raw) == len(w.forgedAA.cert.Raw) {
		return w.aa.cert.Raw
	}
	out := slices.Clone(w.forgedAA.cert.Raw)
	out[len(out)-1] ^= 1 // its own signature: the CA's word
	return out
}

// otherGrantor makes the generic attributes those of a VO "other".
func otherGrantor(w *world, info *voms.SignedInfo) {
	ext, err := voms.SignChanged(voms.SignOptions{
		Issuer: w.aa.cert, Key: w.aa.key, Holder: w.jane.cert, VO: "other", Host: labHost + ":15001",
		Generic: []voms.GenericAttribute{{Name: "nickname", Value: "root"}},
	}, crypto.SHA256, func(other *voms.SignedInfo) {
		for _, e := range other.Extensions {
			if e.Id.Equal(voms.OIDGeneric) {
				info.Extensions = append(info.Extensions, e)
			}
		}
	})
	if err != nil || len(ext.Value) == 0 {
		panic(err)
	}
}

// build makes the proxy of a case, and its directories.
func (c *verifyCase) build(t *testing.T, w *world, dir string) *gsi.Credential {
	t.Helper()
	aa := w.aa
	if c.aa != nil {
		aa = c.aa(w)
	}
	opts := w.signedBy(aa)
	if c.change != nil {
		c.change(w, &opts)
	}
	digest := crypto.SHA256
	if c.digest != 0 {
		digest = c.digest
	}
	ext, err := voms.SignChanged(opts, digest, func(info *voms.SignedInfo) {
		if c.info != nil {
			c.info(w, info)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.tamper != nil {
		changed := c.tamper(w, ext.Value)
		if bytes.Equal(changed, ext.Value) {
			t.Fatal("the bytes to change were not found")
		}
		ext.Value = changed
	}
	from := w.jane
	if c.moved {
		from = w.eve
	}
	cred := proxy(t, from, ext)
	text, err := cred.PEM()
	if err != nil {
		t.Fatal(err)
	}
	put(t, text, dir, "proxy")
	putCA(t, w, filepath.Join(dir, "ca"))
	lsc := c.lsc
	if lsc == "" {
		lsc = aaDN + "\n" + rootDN + "\n"
	}
	if err := os.MkdirAll(filepath.Join(dir, "vomsdir", labVO), 0o700); err != nil {
		t.Fatal(err)
	}
	if lsc != "-" {
		put(t, []byte(lsc), dir, "vomsdir", labVO, labHost+".lsc")
	}
	if c.pem != "" {
		put(t, pemOf(w.aa.cert), dir, "vomsdir", c.pem)
	}
	if c.forgedPEM != "" {
		put(t, pemOf(w.forgedAA.cert), dir, "vomsdir", c.forgedPEM)
	}
	return cred
}

// verify is what a server of this machine does with a proxy.
func verify(t *testing.T, w *world, dir string, chain []*x509.Certificate) error {
	t.Helper()
	trust, err := gsi.OpenTrustDir(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	vomsdir, err := voms.OpenDir(filepath.Join(dir, "vomsdir"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := voms.Parse(chain[0])
	if err != nil {
		return &voms.VerifyError{Reason: voms.ReasonMalformed, Detail: err.Error()}
	}
	if len(found) != 1 {
		t.Fatalf("%d attribute certificates", len(found))
	}
	opts := trust.VOMSOptions(chain[1], vomsdir, w.now, gsi.TrustOptions{})
	opts.Host = thisHost()
	return voms.Verify(&found[0], opts)
}

// TestVerify: every rule has its reason. What Verify accepts libvomsapi accepts
// as well, and where it accepts more the case says why.
func TestVerify(t *testing.T) {
	w, base := newWorld(), t.TempDir()
	var asked []*verifyCase
	var dirs []string
	for i := range verifyCases {
		c := &verifyCases[i]
		dir := filepath.Join(base, strings.ReplaceAll(c.name, " ", "_"))
		if !c.unasked {
			asked, dirs = append(asked, c), append(dirs, dir)
		}
		t.Run(c.name, func(t *testing.T) {
			err := verify(t, w, dir, c.build(t, w, dir).Chain)
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var ve *voms.VerifyError
			if !errors.As(err, &ve) || ve.Reason != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			} else if ve.Detail == "" || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 1000 {
				t.Errorf("text %q", err)
			}
		})
	}
	t.Run("libvomsapi", func(t *testing.T) {
		for i, said := range judge(t, dirs...) {
			c := asked[i]
			accepts := c.want == "" || c.stricter != ""
			if (said == "verified") != accepts {
				t.Errorf("%s: Verify says %q, libvomsapi %q", c.name, c.want, said)
			}
			t.Logf("%-55s %-28s %s", c.name, c.want, said)
		}
	})
}
