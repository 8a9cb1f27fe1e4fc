package cache

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Binding is everything that makes one cached credential different from
// another. The lifetime it was asked for is no part of it.
type Binding struct {
	Profile        string   `json:"profile"`
	Backend        string   `json:"backend"`
	Endpoint       string   `json:"endpoint"`
	Principal      string   `json:"principal"`
	CredentialName string   `json:"credential_name,omitempty"`
	VOMS           []string `json:"voms,omitempty"` // in the order asked for
	Limited        bool     `json:"limited,omitempty"`
	Key            string   `json:"key"` // the type, e.g. "rsa2048"
}

// canon encodes a binding so that different ones never look the same: for each
// field its length in four bytes, then its bytes. The list of VOMS attributes
// is one field, encoded inside by the same rule.
func (b Binding) canon() []byte {
	voms := lengthPrefixed(b.VOMS...)
	limited := "full"
	if b.Limited {
		limited = "limited"
	}
	return lengthPrefixed("v1", b.Profile, b.Backend, b.Endpoint, b.Principal, b.CredentialName, string(voms), limited, b.Key)
}

func (b Binding) equal(other Binding) bool { return bytes.Equal(b.canon(), other.canon()) }

func lengthPrefixed(fields ...string) []byte {
	var out []byte
	for _, f := range fields {
		out = binary.BigEndian.AppendUint32(out, uint32(len(f)))
		out = append(out, f...)
	}
	return out
}

// Entry is one cached credential.
type Entry struct {
	Binding     Binding
	Identity    string // DN of the end entity, one-line form
	Subject     string // DN of the leaf
	Fingerprint string // "sha256:" and hex of the leaf's DER
	// NotBefore and NotAfter are those of the whole chain and every VOMS
	// attribute certificate in it.
	NotBefore, NotAfter time.Time
	FetchedAt           time.Time
	// Asked is the lifetime that was asked for, 0 if unknown; Granted what the
	// server gave. Whole seconds.
	Asked, Granted time.Duration
	RefreshAfter   time.Time
	PEM            secret.Secret // proxy certificate, key, issuers
	StoredIn       Store         // set by Get and List
}

// meta is the JSON part of an entry.
type meta struct {
	Binding      Binding   `json:"binding"`
	Identity     string    `json:"identity"`
	Subject      string    `json:"subject"`
	Fingerprint  string    `json:"fingerprint"`
	NotBefore    time.Time `json:"not_before"`
	NotAfter     time.Time `json:"not_after"`
	FetchedAt    time.Time `json:"fetched_at"`
	Asked        int64     `json:"asked"`   // seconds
	Granted      int64     `json:"granted"` // seconds
	RefreshAfter time.Time `json:"refresh_after"`
}

// errDamaged is content that cannot be an entry. It never leaves the package.
var errDamaged = errors.New("damaged entry")

// encodeEntry writes the plaintext of an entry: the length of the JSON in four
// bytes, the JSON, the PEM as it is (base64 inside JSON would cost a third).
func encodeEntry(e *Entry) ([]byte, error) {
	if _, err := leafNotAfter(e.PEM); err != nil {
		return nil, fmt.Errorf("what was to be cached is no credential: %w", err)
	}
	head, err := json.Marshal(meta{
		Binding: e.Binding, Identity: e.Identity, Subject: e.Subject, Fingerprint: e.Fingerprint,
		NotBefore: e.NotBefore.UTC(), NotAfter: e.NotAfter.UTC(), FetchedAt: e.FetchedAt.UTC(), RefreshAfter: e.RefreshAfter.UTC(),
		Asked: int64(e.Asked / time.Second), Granted: int64(e.Granted / time.Second),
	})
	if err != nil {
		return nil, err
	}
	if len(head)+len(e.PEM)+4+sealOverhead > maxEntry {
		return nil, fmt.Errorf("a credential of %d bytes is too big to be cached", len(e.PEM))
	}
	out := make([]byte, 0, 4+len(head)+len(e.PEM))
	out = binary.BigEndian.AppendUint32(out, uint32(len(head)))
	out = append(out, head...)
	return append(out, e.PEM...), nil
}

// decodeEntry reads the plaintext of an entry. The end of its validity is
// never later than that of the leaf certificate itself.
func decodeEntry(plain []byte) (*Entry, error) {
	if len(plain) < 4 {
		return nil, fmt.Errorf("%w: too short", errDamaged)
	}
	n := uint64(binary.BigEndian.Uint32(plain))
	if n > uint64(len(plain)-4) {
		return nil, fmt.Errorf("%w: cut off", errDamaged)
	}
	var m meta
	if err := json.Unmarshal(plain[4:4+n], &m); err != nil {
		return nil, fmt.Errorf("%w: its description is no JSON of ours", errDamaged)
	}
	body := plain[4+n:]
	leafEnd, err := leafNotAfter(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if leafEnd.Before(m.NotAfter) {
		m.NotAfter = leafEnd
	}
	return &Entry{
		Binding: m.Binding, Identity: m.Identity, Subject: m.Subject, Fingerprint: m.Fingerprint,
		NotBefore: m.NotBefore, NotAfter: m.NotAfter, FetchedAt: m.FetchedAt, RefreshAfter: m.RefreshAfter,
		Asked: time.Duration(m.Asked) * time.Second, Granted: time.Duration(m.Granted) * time.Second,
		PEM: body,
	}, nil
}

// leafNotAfter is when the first certificate ends.
func leafNotAfter(data []byte) (time.Time, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return time.Time{}, errors.New("it has no certificate")
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return time.Time{}, errors.New("its certificate cannot be read")
			}
			return cert.NotAfter, nil
		}
		data = rest
	}
}
