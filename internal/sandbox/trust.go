package sandbox

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Trust is what the trust directory says about the sandbox's CA. The zero
// value is a healthy one.
type Trust struct {
	NoPolicy      bool // there is neither a .signing_policy nor a .namespaces file
	PolicyForbids bool // the signing policy allows other subjects only
	ExpiredCRL    bool // the CRL's next update is past
	NoCRL         bool // there is no .r0 file
	NoCA          bool // the CA itself is missing
}

// rootFile is one file of the trust directory.
type rootFile struct {
	name string
	data []byte
}

// SetTrust rewrites the trust directory.
func (s *Sandbox) SetTrust(t Trust) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trust = t
	return s.writeTrust()
}

// writeTrust makes the trust directory hold exactly the files of s.trust, under
// the hash names of both OpenSSL generations. s.mu is held.
func (s *Sandbox) writeTrust() error {
	files, err := s.trustFiles()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.trustDir, 0o700); err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, f := range files {
		keep[f.name] = true
		if err := writeFile(filepath.Join(s.trustDir, f.name), f.data); err != nil {
			return err
		}
	}
	present, err := os.ReadDir(s.trustDir)
	if err != nil {
		return err
	}
	for _, entry := range present {
		if !keep[entry.Name()] {
			if err := os.Remove(filepath.Join(s.trustDir, entry.Name())); err != nil {
				return err
			}
		}
	}
	s.roots = files
	return nil
}

func (s *Sandbox) trustFiles() ([]rootFile, error) {
	if s.trust.NoCA {
		return nil, nil
	}
	subject, err := gsi.OneLine(s.ca.cert.RawSubject)
	if err != nil {
		return nil, err
	}
	hash, err := gsi.SubjectHash(s.ca.cert.RawSubject)
	if err != nil {
		return nil, err
	}
	crl, err := s.crl()
	if err != nil {
		return nil, err
	}
	allowed := "/C=XX/O=" + organization + "/"
	if s.trust.PolicyForbids {
		allowed = "/C=XX/O=Somebody Else/"
	}
	policy := fmt.Sprintf("access_id_CA   X509    '%s'\npos_rights     globus  CA:sign\ncond_subjects  globus  '\"%s*\"'\n", subject, allowed)
	namespaces := fmt.Sprintf("TO Issuer \"%s\" PERMIT Subject \"%s.*\"\n", subject, allowed)

	var files []rootFile
	for _, name := range []string{hash, gsi.SubjectHashOld(s.ca.cert.RawSubject)} {
		files = append(files,
			rootFile{name + ".0", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ca.cert.Raw})})
		if !s.trust.NoPolicy {
			files = append(files, rootFile{name + ".signing_policy", []byte(policy)}, rootFile{name + ".namespaces", []byte(namespaces)})
		}
		if !s.trust.NoCRL {
			files = append(files, rootFile{name + ".r0", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl})})
		}
	}
	more, err := otherFiles(s.opts.TrustedCAs)
	return append(files, more...), err
}

// otherFiles are those of Options.TrustedCAs.
func otherFiles(cas []*x509.Certificate) ([]rootFile, error) {
	var files []rootFile
	for _, ca := range cas {
		subject, err := gsi.OneLine(ca.RawSubject)
		if err != nil {
			return nil, err
		}
		hash, err := gsi.SubjectHash(ca.RawSubject)
		if err != nil {
			return nil, err
		}
		policy := fmt.Sprintf("access_id_CA   X509    '%s'\npos_rights     globus  CA:sign\ncond_subjects  globus  '\"*\"'\n", subject)
		for _, name := range []string{hash, gsi.SubjectHashOld(ca.RawSubject)} {
			files = append(files,
				rootFile{name + ".0", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})},
				rootFile{name + ".signing_policy", []byte(policy)})
		}
	}
	return files, nil
}

func (s *Sandbox) crl() ([]byte, error) {
	var revoked []*big.Int
	if s.host == HostRevoked {
		revoked = append(revoked, s.hostCert.SerialNumber)
	}
	from, to := s.now().Add(-past), s.now().AddDate(10, 0, 0)
	if s.trust.ExpiredCRL {
		from, to = s.now().Add(-2*past), s.now().Add(-past)
	}
	return s.ca.crl(revoked, from, to)
}

// writeFile replaces a file at once, so that nobody reads half of it.
func writeFile(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if cerr := temp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}

// tomlString quotes text for a TOML file; paths of Windows have backslashes.
func tomlString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
