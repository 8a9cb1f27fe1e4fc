package gsi

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/vectors"
)

// recording is one recorded conversation with a MyProxy server.
type recording struct {
	Name       string    `json:"name"`
	RecordedAt time.Time `json:"recorded_at"`
	ClientKey  string    `json:"client_key"`
	Messages   []message `json:"messages"`
}

type message struct {
	From   string `json:"from"`
	Text   string `json:"text"`
	Base64 []byte `json:"base64"`
}

// chain returns the certificates that the server sent: a count byte and DER.
func (r *recording) chain(t *testing.T) []*x509.Certificate {
	t.Helper()
	var data []byte
	for _, m := range r.Messages {
		if m.From == "server" {
			data = append(data, m.Base64...)
		}
	}
	if len(data) == 0 {
		return nil
	}
	certs, err := x509.ParseCertificates(data[1:])
	if err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	if len(certs) != int(data[0]) {
		t.Fatalf("%s: %d certificates, the count byte says %d", r.Name, len(certs), data[0])
	}
	return certs
}

func readRecordings(t *testing.T, patterns ...string) (string, []*recording) {
	t.Helper()
	dir := vectors.Dir(t, "myproxy")
	var out []*recording
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := new(recording)
			if err := json.Unmarshal(data, r); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			out = append(out, r)
		}
	}
	return dir, out
}

// TestRecordedChains verifies what the real server of Debian 12 issued, at the
// time when it did, up to the lab's trust directory.
func TestRecordedChains(t *testing.T) {
	dir, recordings := readRecordings(t, "get-ok-*.json", "get-ca-ok*.json", "get-lifetime-clipped-*.json")
	trust, err := OpenTrustDir(filepath.Join(dir, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	if len(recordings) == 0 {
		t.Fatal("no recordings")
	}
	for _, r := range recordings {
		t.Run(r.Name, func(t *testing.T) {
			chain := r.chain(t)
			key, err := ParseCredential(append([]byte(r.ClientKey), pemOf(chain...)...))
			if err != nil {
				t.Fatal(err)
			}
			cred := &Credential{Chain: chain, Key: key.Key}
			if err := cred.Verify(VerifyOptions{Now: r.RecordedAt}); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if err := trust.Verify(chain, r.RecordedAt, TrustOptions{}); err != nil {
				t.Errorf("trust: %v", err)
			}
			info, err := Inspect(chain)
			if err != nil {
				t.Fatal(err)
			}
			checkRecordedInfo(t, r, info, chain)
			out, err := cred.PEM()
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseCredential(out)
			if err != nil {
				t.Fatal(err)
			}
			if len(again.Chain) != len(chain) || !bytes.Equal(again.Leaf().Raw, chain[0].Raw) {
				t.Error("PEM and ParseCredential do not give the same chain")
			}
		})
	}
}

func checkRecordedInfo(t *testing.T, r *recording, info *Info, chain []*x509.Certificate) {
	t.Helper()
	want := TypeRFC3820
	if strings.HasPrefix(r.Name, "get-ca") {
		want = TypeEEC
	}
	if info.Type != want {
		t.Errorf("type %s, want %s", info.Type, want)
	}
	// The limited policy by its bytes: the stored proxy decides, whatever is asked.
	if limited := bytes.Contains(chain[0].Raw, []byte("\x06\x0b\x2b\x06\x01\x04\x01\x9b\x50\x01\x01\x01\x09")); info.Limited != limited {
		t.Errorf("limited %v, want %v", info.Limited, limited)
	}
	if strings.Count(info.Identity, "/CN=") != 1 || !strings.HasPrefix(info.Identity, "/C=XX/O=Lab/") {
		t.Errorf("identity %q is not that of a person of the lab", info.Identity)
	}
	for _, text := range []string{info.Identity, info.IdentityRFC2253} {
		if !MatchDN(info.IdentityRaw, text) {
			t.Errorf("MatchDN does not know %q", text)
		}
	}
	for _, c := range chain {
		if c.NotAfter.Before(info.NotAfter) || c.NotBefore.After(info.NotBefore) {
			t.Errorf("%s to %s is not the narrowest time", info.NotBefore, info.NotAfter)
		}
	}
}

// TestRecordedWithOtherKey: the C and Python clients accept a certificate for
// a key that is not theirs.
func TestRecordedWithOtherKey(t *testing.T) {
	_, recordings := readRecordings(t, "get-ok-*.json")
	if len(recordings) < 2 {
		t.Fatalf("only %d recordings", len(recordings))
	}
	cred := &Credential{Chain: recordings[0].chain(t), Key: mustKey(t, recordings[1].ClientKey)}
	wantFault(t, cred.Verify(VerifyOptions{Now: recordings[0].RecordedAt}), FaultWrongKey)
}
