package gsi

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Limits of one installation. The whole IGTF is 900 files of 0.5 MB; lists of
// revoked certificates are the rest.
const (
	maxInstallFiles = 5000
	maxInstallBytes = 64 << 20
)

// trustKind is what a file of a trust directory is, by its name, in the order
// in which files are put in their place: a CA is not trusted before its policy
// and its revocation list are there.
type trustKind int

const (
	kindOther trustKind = iota
	kindInfo
	kindCRLURL
	kindSigningPolicy
	kindNamespaces
	kindCRL
	kindCertificate
)

// plannedFile is one file that was found good.
type plannedFile struct {
	kind trustKind
	name string
	data []byte
	cert *x509.Certificate    // of a kindCertificate
	crl  *x509.RevocationList // of a kindCRL
	ca   *x509.Certificate    // that signed the list
}

type installPlan []*plannedFile

func (f *plannedFile) limit() int64 {
	if f.kind == kindCRL {
		return maxCRLFile
	}
	return maxTrustFile
}

// planInstall checks every file by itself.
func planInstall(files []TrustFile, report *InstallReport) (installPlan, error) {
	if len(files) > maxInstallFiles {
		return nil, &InstallError{InstallBadFile, fmt.Sprint(len(files), " files"), fmt.Sprintf("there are more than %d trust roots", maxInstallFiles)}
	}
	var plan installPlan
	seen, total := map[string]bool{}, 0
	for _, file := range files {
		if !safeTrustName(file.Name) {
			return nil, &InstallError{InstallUnsafeName, fmt.Sprintf("%.100q", file.Name), "the name of a trust root is no plain file name"}
		}
		if key := strings.ToLower(file.Name); seen[key] { // one file for some file systems
			return nil, &InstallError{InstallConflict, shownName(file.Name), "a trust root is there twice"}
		} else {
			seen[key] = true
		}
		if total += len(file.Data); total > maxInstallBytes {
			return nil, &InstallError{InstallBadFile, shownName(file.Name), fmt.Sprintf("the trust roots are larger than %d bytes together", maxInstallBytes)}
		}
		f := &plannedFile{kind: kindOf(file.Name), name: file.Name, data: file.Data}
		if f.kind == kindOther {
			report.Skipped = append(report.Skipped, shownName(f.name))
			continue
		}
		if err := f.parse(); err != nil {
			return nil, &InstallError{InstallBadFile, f.name, err.Error()}
		}
		plan = append(plan, f)
	}
	slices.SortFunc(plan, func(a, b *plannedFile) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
	return plan, nil
}

// safeTrustName: a name that is not, comes from somebody who means harm, and
// nothing else of theirs is wanted either.
func safeTrustName(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > 255 {
		return false
	}
	for _, c := range []byte(name) {
		if c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == ':' {
			return false
		}
	}
	return true
}

// shownName is a name that is safe to show: a terminal could obey bytes beyond
// ASCII, and a reader could be led astray by them.
func shownName(name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) < 0 {
		return name
	}
	return strconv.QuoteToASCII(name)
}

// kindOf goes by the name: HASH and an ending of a kind, or the alias of a CA
// with .info.
func kindOf(name string) trustKind {
	stem, ext, _ := strings.Cut(name, ".")
	if len(stem) == 8 && strings.Trim(stem, "0123456789abcdef") == "" {
		switch {
		case len(ext) == 1 && ext[0] >= '0' && ext[0] <= '9':
			return kindCertificate
		case len(ext) == 2 && ext[0] == 'r' && ext[1] >= '0' && ext[1] <= '9':
			return kindCRL
		case ext == "signing_policy":
			return kindSigningPolicy
		case ext == "namespaces":
			return kindNamespaces
		case ext == "crl_url":
			return kindCRLURL
		}
	}
	alias, isInfo := strings.CutSuffix(name, ".info")
	if isInfo && alias != "" && isAliasStart(alias[0]) && strings.Trim(alias, aliasChars) == "" {
		return kindInfo
	}
	return kindOther
}

const aliasChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

func isAliasStart(c byte) bool { return c != '.' && c != '_' && c != '-' }

// parse reads the file as what its name says. Errors are sentences.
func (f *plannedFile) parse() (err error) {
	if int64(len(f.data)) > f.limit() {
		return fmt.Errorf("the file is larger than %d bytes", f.limit())
	}
	switch f.kind {
	case kindCertificate:
		return f.parseCertificate()
	case kindCRL:
		return f.parseCRL()
	case kindSigningPolicy:
		_, err = parsePolicy(f.data)
	case kindNamespaces:
		_, err = parseNamespaces(f.data)
	case kindInfo:
		_, err = ParseAnchorInfo(f.data)
	case kindCRLURL:
		err = checkCRLURL(f.data)
	}
	if err != nil {
		return fmt.Errorf("the file cannot be read as what its name says: %w", err)
	}
	return nil
}

func (f *plannedFile) parseCertificate() error {
	certs, err := ParseCertificates(f.data)
	switch {
	case err != nil:
		return fmt.Errorf("the file cannot be read as a certificate: %w", err)
	case len(certs) != 1:
		return fmt.Errorf("the file has %d certificates where one belongs", len(certs))
	}
	f.cert = certs[0]
	if err := f.checkHash(f.cert.RawSubject); err != nil {
		return err
	}
	one := &verifier{chain: certs}
	if e := one.ca(0); e != nil {
		return errors.New("the certificate is no CA's: " + e.Subject)
	}
	return nil
}

func (f *plannedFile) parseCRL() error {
	data := f.data
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	crl, err := x509.ParseRevocationList(data)
	if err != nil {
		return errors.New("the file cannot be read as a revocation list")
	}
	crl.RevokedCertificateEntries = nil // they are most of it
	f.crl = crl
	return f.checkHash(crl.RawIssuer)
}

func (f *plannedFile) checkHash(rawName []byte) error {
	hashes := stems(rawName)
	if stem, _, _ := strings.Cut(f.name, "."); !slices.Contains(hashes, stem) {
		return fmt.Errorf("the file's name is not the CA's hash, which is %s", strings.Join(hashes, " or "))
	}
	return nil
}

// checkCRLURL: one URL on each line, as fetch-crl reads them.
func checkCRLURL(data []byte) error {
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		u, err := url.Parse(line)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ftp" {
			return fmt.Errorf("%.40q is no URL of a revocation list", line)
		}
	}
	return nil
}

// checkCRLs verifies each revocation list with the CAs that are sent along or
// lie in the directory (nil for a new one). A list of no CA known is skipped,
// fetch-crl leaves such behind; a wrong one would make its CA be refused.
func (plan installPlan) checkCRLs(root *os.Root, report *InstallReport) (installPlan, error) {
	var out installPlan
	for _, f := range plan {
		if f.kind == kindCRL {
			cas := plan.signers(f.crl, root)
			i := slices.IndexFunc(cas, func(ca *x509.Certificate) bool { return signedList(f.crl, ca) })
			switch {
			case len(cas) == 0:
				report.Skipped = append(report.Skipped, f.name)
				continue
			case i < 0:
				return nil, &InstallError{InstallBadFile, f.name, "the revocation list is not signed by its CA"}
			}
			f.ca = cas[i]
		}
		out = append(out, f)
	}
	return out, nil
}

// signers lists the CAs of a list's name that will be in the directory, and
// whose key may be computed with.
func (plan installPlan) signers(crl *x509.RevocationList, root *os.Root) []*x509.Certificate {
	var out []*x509.Certificate
	add := func(c *x509.Certificate) {
		if c != nil && bytes.Equal(c.RawSubject, crl.RawIssuer) && weakKey(c) == "" {
			out = append(out, c)
		}
	}
	sent := map[string]bool{}
	for _, f := range plan {
		add(f.cert)
		sent[f.name] = true
	}
	if root == nil {
		return out
	}
	for _, stem := range stems(crl.RawIssuer) {
		for n := '0'; n <= '9'; n++ {
			name := stem + "." + string(n)
			if sent[name] {
				continue // it is replaced
			}
			data, err := readRegular(root, name, maxTrustFile)
			if err != nil {
				continue
			}
			certs, err := ParseCertificates(data)
			if err != nil {
				continue
			}
			for _, c := range certs {
				add(c)
			}
		}
	}
	return out
}

// sameCA reports whether one certificate is the other's, issued again.
func sameCA(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

func signedList(crl *x509.RevocationList, ca *x509.Certificate) bool {
	return ca.CheckSignature(crl.SignatureAlgorithm, crl.RawTBSRevocationList, crl.Signature) == nil
}

// keeps reports whether what is there is good and the file may not replace it:
// a revocation list that is newer or of another CA, since a server must not take
// back what is revoked, and a newer certificate of the same CA, name and key.
func (plan installPlan) keeps(f *plannedFile, old []byte, root *os.Root) bool {
	if f.kind == kindCertificate {
		there := &plannedFile{kind: kindCertificate, name: f.name, data: old}
		return there.parseCertificate() == nil && sameCA(there.cert, f.cert) &&
			f.cert.NotAfter.Before(there.cert.NotAfter) && !f.cert.NotBefore.After(there.cert.NotBefore)
	}
	there := &plannedFile{kind: kindCRL, name: f.name, data: old}
	if f.kind != kindCRL || there.parseCRL() != nil {
		return false
	}
	if signedList(there.crl, f.ca) && bytes.Equal(there.crl.RawIssuer, f.crl.RawIssuer) {
		return f.crl.ThisUpdate.Before(there.crl.ThisUpdate)
	}
	return slices.ContainsFunc(plan.signers(there.crl, root), func(ca *x509.Certificate) bool { return signedList(there.crl, ca) })
}
