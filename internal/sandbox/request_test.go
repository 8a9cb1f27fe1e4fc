package sandbox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	r, err := parseRequest([]byte(getRequest("alice", "pass phrase", "CRED_NAME=a_b\nTRUSTED_CERTS=1\nVONAME=x\nVONAME=y:/y/Role=z\nVOMSES=\"x\" \"h\"\n")))
	if err != nil {
		t.Fatal(err)
	}
	if r.command != 0 || r.username != "alice" || r.passphrase != "pass phrase" || r.lifetime != 43200 ||
		r.credName == nil || *r.credName != "a_b" || !r.trustedCerts || strings.Join(r.voName, " ") != "x y:/y/Role=z" || len(r.vomses) != 1 {
		t.Errorf("parsed %+v", r)
	}
	long := strings.Repeat("p", 3000)
	if r, err = parseRequest([]byte(getRequest("alice", long))); err != nil || r.passphrase != long[:1024] {
		t.Errorf("a pass phrase longer than the server's buffer: %d bytes, %v", len(r.passphrase), err)
	}
}

// FuzzParseRequest: whatever a client sends, the parser ends, and what it
// accepts has the mandatory fields, each once.
func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		getRequest("alice", goodPass), getRequest("", "", "VONAME=\nVONAME="), "", "\x00", "VERSION=VERSION=",
		"LIFETIME=0\n  PASSPHRASE=\nSOMETHING=else\nUSERNAME=alicestore\nCOMMAND=2\nVERSION=MYPROXYv2\n\x00",
		"VERSION=MYPROXYv2\nCOMMAND=0x7fffffffffffffff\nUSERNAME=a\nPASSPHRASE=LIFETIME=5",
		"COMMAND=-9223372036854775808\n", "LIFETIME=+ 08",
		"VERSION=MYPROXYv2\nCOMMAND=1\nUSERNAME=a\nPASSPHRASE=b\nLIFETIME=1\nCRED_NAME=c\nCRED_DESC=has CRED_NAME=d\nRETRIEVER=*\nRENEWER=*\n\x00",
		"VERSION=MYPROXYv2\nCOMMAND=4\nUSERNAME=a\nPASSPHRASE=b\nLIFETIME=0\nNEW_PHRASE=c\n\x00",
		"VERSION=MYPROXYv2\nCOMMAND=5\nUSERNAME=a\nPASSPHRASE=b\nLIFETIME=1\nKEYRETRIEVERS=*\nRETRIEVER_TRUSTED=*/CN=x\n\x00more",
		"VERSION=MYPROXYv2\nCOMMAND=7\nUSERNAME=\nPASSPHRASE=\nLIFETIME=0\nTRUSTED_CERTS=1\n\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRequest(data)
		text, _, _ := strings.Cut(string(data), "\x00")
		if err != nil {
			return
		}
		for _, name := range []string{"VERSION=", "COMMAND=", "USERNAME=", "PASSPHRASE=", "LIFETIME="} {
			// Once, or again in the line of the first: like the real server.
			_, value, found := strings.Cut(text, name)
			_, rest, _ := strings.Cut(value, "\n")
			if !found || strings.Contains(rest, name) {
				t.Fatalf("accepted without %s or with a second line of it: %q", name, text)
			}
		}
		for name, value := range map[string]*string{
			"CRED_NAME=": r.credName, "CRED_DESC=": r.description, "RETRIEVER=": r.retriever, "RENEWER=": r.renewer,
			"KEYRETRIEVERS=": r.keyRetriever, "RETRIEVER_TRUSTED=": r.trustedRetriever,
		} {
			if (value != nil) != strings.Contains(text, name) || value != nil && !strings.Contains(text, name+*value) {
				t.Fatalf("%s is %v in %q", name, value, text)
			}
		}
		if r.lifetime < 0 || len(r.passphrase) > maxPassphrase || strings.ContainsAny(r.username+r.passphrase+r.newPassphrase, "\n\x00") {
			t.Fatalf("accepted %+v", r)
		}
	})
}

// FuzzProxyLanguage: whatever a client's proxyCertInfo holds, it is an error or
// one policy language.
func FuzzProxyLanguage(f *testing.F) {
	for _, id := range []asn1.ObjectIdentifier{oidInheritAll, oidLimited} {
		ext, err := proxyExtension(id)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ext.Value)
	}
	f.Add([]byte{0x30, 0x0f, 0x02, 0x01, 0x05, 0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x15, 0x01}) // with a path length
	f.Add([]byte{0x30, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		language, err := proxyLanguage([]pkix.Extension{{Id: oidProxyCertInfo, Value: der}})
		if (err == nil) == (language == nil) {
			t.Fatalf("language %s, error %v", language, err)
		}
	})
}

func TestProxyLanguage(t *testing.T) {
	withLen := []byte{0x30, 0x0f, 0x02, 0x01, 0x05, 0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x15, 0x01}
	got, err := proxyLanguage([]pkix.Extension{{Id: oidKeyUsage}, {Id: oidProxyCertInfo, Value: withLen}})
	if err != nil || !got.Equal(oidInheritAll) {
		t.Errorf("with a path length: %s, %v", got, err)
	}
	if got, err := proxyLanguage([]pkix.Extension{{Id: oidKeyUsage}}); err != nil || got != nil {
		t.Errorf("no proxyCertInfo: %s, %v", got, err)
	}
}

// What is no certificate request gets the real server's text, by mode.
func TestBadCertificateRequest(t *testing.T) {
	for mode, want := range map[Mode]string{Repository: textCannotDelegate, CA: textCannotCertify} {
		s := start(t, Options{Mode: mode}, User{Name: "alice"})
		good := testCSR(t, testKey(t), false)
		spoilt := bytes.Clone(good)
		spoilt[len(spoilt)-1] ^= 1
		for _, der := range [][]byte{{0}, []byte("this is not a certificate request"), good[:len(good)-1], spoilt} {
			c := greeted(t, s, tls.VersionTLS13, nil)
			c.send(getRequest("alice", goodPass))
			c.record()
			c.send(string(der))
			if got := c.record(); string(got) != "VERSION=MYPROXYv2\nRESPONSE=1\nERROR="+want+"\n\x00" {
				t.Errorf("%s, %d bytes: %q", mode, len(der), got)
			}
		}
	}
}
