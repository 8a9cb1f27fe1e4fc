package myproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// InstallMode says which trust roots of a server's may be installed.
type InstallMode int

// The modes. UpdateOnly is the zero value.
const (
	// UpdateOnly renews what belongs to CAs that the directory has already:
	// their certificates under the same key and revocation lists, not by older
	// ones, and policies. It needs no question: nobody new is trusted.
	UpdateOnly InstallMode = iota
	// All installs new CAs, too. Somebody must have said yes.
	All
)

// Authority is a CA among the trust roots that the directory does not have. The
// same name with another key is another CA.
type Authority struct {
	Subject     string   // one-line form, escaped for a terminal
	Fingerprint string   // "sha256:" and 64 hex digits, of the certificate's DER
	Files       []string // as which it was sent, sorted
}

// Installed says what InstallTrustRoots did.
type Installed struct {
	gsi.InstallReport
	// New are the CAs that were not there before: installed with All, left out
	// with UpdateOnly. Their order is that of the subjects.
	New []Authority
	// LeftOut are the files that UpdateOnly did not take, those of New among
	// them, sorted.
	LeftOut []string
}

// safeTrustRoot says whether a file of a trust directory may be called so:
// ^[A-Za-z0-9][A-Za-z0-9._-]*$. Servers send whatever lies in theirs; what does not
// look like this, a path or a hidden file for instance, refuses everything. It is
// no regexp, which every start of every program would compile.
func safeTrustRoot(name string) bool {
	const first = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	return name != "" && strings.Contains(first, name[:1]) && strings.Trim(name, first+"._-") == ""
}

// InstallTrustRoots writes a server's trust roots into a directory, an absolute
// path: all or none, atomically, each file checked to be what its name says and
// never outside of dir; see [gsi.InstallTrustRoots]. The directory must be the
// caller's own; with All it is made if it does not exist.
//
// Errors are *gsi.InstallError, or that of ctx if it had ended before.
func InstallTrustRoots(ctx context.Context, dir string, files map[string][]byte, mode InstallMode) (Installed, error) {
	var out Installed
	if err := ctx.Err(); err != nil {
		return out, err
	}
	list, err := checkTrustRoots(files)
	if err != nil {
		return out, err
	}
	have := presentCAs(dir)
	out.New = have.news(list)
	if mode != All {
		list, out.LeftOut = have.known(list)
	}
	if len(list) == 0 {
		return out, nil
	}
	if out.InstallReport, err = gsi.InstallTrustRoots(dir, list); err != nil {
		return Installed{}, err
	}
	return out, nil
}

// NewAuthorities lists the CAs among trust roots that a directory does not have,
// for the question whether to trust them. A directory that does not exist has
// none. It writes nothing. Errors are *gsi.InstallError.
func NewAuthorities(dir string, files map[string][]byte) ([]Authority, error) {
	list, err := checkTrustRoots(files)
	if err != nil {
		return nil, err
	}
	return presentCAs(dir).news(list), nil
}

// checkTrustRoots bounds what came and refuses names that could lead elsewhere.
func checkTrustRoots(files map[string][]byte) ([]gsi.TrustFile, error) {
	refuse := func(reason gsi.InstallReason, file, detail string) error {
		return &gsi.InstallError{Reason: reason, File: file, Detail: detail}
	}
	if len(files) > maxTrustFiles {
		return nil, refuse(gsi.InstallBadFile, fmt.Sprint(len(files), " files"), fmt.Sprintf("there are more than %d trust roots", maxTrustFiles))
	}
	var list []gsi.TrustFile
	total := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !safeTrustRoot(name) || len(name) > 255 {
			return nil, refuse(gsi.InstallUnsafeName, fmt.Sprintf("%.100q", name), "the server sent a trust root under a name that is not safe, so nothing was installed")
		}
		if total += len(files[name]); total > maxTrustRoots {
			return nil, refuse(gsi.InstallBadFile, name, fmt.Sprintf("the trust roots are larger than %d bytes together", maxTrustRoots))
		}
		list = append(list, gsi.TrustFile{Name: name, Data: files[name]})
	}
	return list, nil
}

// caSet are the CAs of a directory, and those in each file HASH.N.
type caSet struct {
	certs []*x509.Certificate
	files map[string][]*x509.Certificate
}

// presentCAs reads HASH.0 to HASH.9. What cannot be read as a certificate is no
// CA that could be renewed.
func presentCAs(dir string) *caSet {
	s := &caSet{files: map[string][]*x509.Certificate{}}
	root, err := os.OpenRoot(dir) // no file leads out of it
	if err != nil {
		return s
	}
	defer root.Close()
	d, err := root.Open(".")
	if err != nil {
		return s
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		if hashOf(name) != "" && isCertName(name) {
			s.files[name] = readCerts(root, name)
			s.certs = append(s.certs, s.files[name]...)
		}
	}
	return s
}

func readCerts(root *os.Root, name string) []*x509.Certificate {
	f, err := root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, gsi.MaxCredentialBytes))
	if err != nil {
		return nil
	}
	certs, _ := gsi.ParseCertificates(data)
	return certs
}

// hashOf is the first part of HASH.0, HASH.signing_policy and so on, or "".
func hashOf(name string) string {
	stem, _, ok := strings.Cut(name, ".")
	if !ok || len(stem) != 8 || strings.Trim(stem, "0123456789abcdef") != "" {
		return ""
	}
	return stem
}

func isCertName(name string) bool {
	_, ext, _ := strings.Cut(name, ".")
	return len(ext) == 1 && ext[0] >= '0' && ext[0] <= '9'
}

func isCRLName(name string) bool {
	_, ext, _ := strings.Cut(name, ".")
	return len(ext) == 2 && ext[0] == 'r' && ext[1] >= '0' && ext[1] <= '9'
}

// has says whether a certificate is of one of the CAs: its name and its key. A
// renewed one has other dates, a new key makes another CA of it. Nobody checks
// the signature of a trust anchor later, so what is new in it must be signed by
// the CA itself or by one above it that is here.
func (s *caSet) has(c *x509.Certificate) bool {
	same := func(have *x509.Certificate) bool { return sameCA(have, c) }
	signer := func(have *x509.Certificate) bool {
		return have.Equal(c) || bytes.Equal(have.RawSubject, c.RawIssuer) &&
			have.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
	}
	return slices.ContainsFunc(s.certs, same) && slices.ContainsFunc(s.certs, signer)
}

func sameCA(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

// loses says whether a certificate of one of the CAs would take something away:
// it is an older one than that which is here, as in a server's neglected
// directory, or another CA of the same name lies in its place.
func (s *caSet) loses(name string, c *x509.Certificate) bool {
	return slices.ContainsFunc(s.certs, func(have *x509.Certificate) bool {
		return sameCA(have, c) && c.NotAfter.Before(have.NotAfter) && !c.NotBefore.After(have.NotBefore)
	}) || slices.ContainsFunc(s.files[name], func(have *x509.Certificate) bool { return !sameCA(have, c) })
}

// news lists the CAs of the files that are not in the set.
func (s *caSet) news(files []gsi.TrustFile) []Authority {
	var out []Authority
	for _, f := range files {
		cert := certOf(f)
		if cert == nil || s.has(cert) {
			continue
		}
		sum := sha256.Sum256(cert.Raw)
		fingerprint := "sha256:" + hex.EncodeToString(sum[:])
		i := slices.IndexFunc(out, func(a Authority) bool { return a.Fingerprint == fingerprint })
		if i < 0 {
			subject, err := gsi.OneLine(cert.RawSubject)
			if err != nil {
				subject = "a name that cannot be read"
			}
			out = append(out, Authority{Subject: printable(subject), Fingerprint: fingerprint})
			i = len(out) - 1
		}
		out[i].Files = append(out[i].Files, f.Name)
	}
	slices.SortStableFunc(out, func(a, b Authority) int { return strings.Compare(a.Subject, b.Subject) })
	return out
}

// certOf is the certificate in a file HASH.N, nil for others and for what is
// none: the installation will say so.
func certOf(f gsi.TrustFile) *x509.Certificate {
	if hashOf(f.Name) == "" || !isCertName(f.Name) {
		return nil
	}
	certs, err := gsi.ParseCertificates(f.Data)
	if err != nil || len(certs) != 1 {
		return nil
	}
	return certs[0]
}

// known keeps the files that belong to the set's CAs.
func (s *caSet) known(files []gsi.TrustFile) (kept []gsi.TrustFile, leftOut []string) {
	hashes := map[string]bool{}
	for _, c := range s.certs {
		hashes[gsi.SubjectHashOld(c.RawSubject)] = true
		if hash, err := gsi.SubjectHash(c.RawSubject); err == nil {
			hashes[hash] = true
		}
	}
	for _, f := range files {
		hash := hashOf(f.Name)
		ok := hashes[hash]
		switch {
		case ok && isCertName(f.Name):
			cert := certOf(f)
			ok = cert != nil && s.has(cert) && !s.loses(f.Name, cert)
		case ok && isCRLName(f.Name):
			ok = s.signed(f.Data)
		}
		if ok {
			kept = append(kept, f)
		} else {
			leftOut = append(leftOut, f.Name)
		}
	}
	return kept, leftOut
}

// signed says whether a revocation list is of one of the set's CAs: a server
// that has a CA under two keys sends the lists of both.
func (s *caSet) signed(data []byte) bool {
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	list, err := x509.ParseRevocationList(data)
	return err == nil && slices.ContainsFunc(s.certs, func(ca *x509.Certificate) bool {
		return bytes.Equal(ca.RawSubject, list.RawIssuer) &&
			ca.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature) == nil
	})
}
