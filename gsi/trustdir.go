package gsi

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/files"
)

// Limits of a trust directory. The IGTF's has 83 CAs in some 800 entries; the
// largest CRLs of public CAs are of a few megabytes.
const (
	maxTrustEntries = 20000
	maxTrustFile    = 1 << 20
	maxCRLFile      = 32 << 20
)

// TrustDir is a directory of trust anchors as Globus, XRootD and VOMS use it:
// HASH.0 is a CA's certificate, HASH.signing_policy what it may sign and
// HASH.r0 its revocation list, where HASH is SubjectHash or SubjectHashOld of
// the CA and other digits stand for further CAs of the same hash. Files may be
// symbolic links.
//
// What a CA may sign is asked of its signing policy alone, as the Globus C
// libraries do. Where it has none, HASH.namespaces counts in its place, which
// VOMS and canl-java read and Globus does not: its own, else that of a CA above
// it on the path which speaks of it.
//
// Whatever is written in it, a policy, .namespaces or .info file takes from the
// heap at most 128 bytes for each of its own and 64 KiB, a revocation list 64
// and 1 MiB. Files larger than 1 MiB, lists larger than 32 MiB, are refused.
//
// Opening it reads the names only; files are read when a chain needs them, and
// up to 8 MiB of them are parsed once only. A long-running process opens it anew
// to see what fetch-crl has brought. It may be used from several goroutines.
type TrustDir struct {
	path  string
	names map[string]bool
	read  func(path string, limit int64) ([]byte, error) // files.Read, but in tests
	kept  kept

	scanOnce sync.Once
	scanned  []anchor            // by file name
	index    map[string][]anchor // the same by raw subject
	bad      []badFile
}

// badFile is a file that cannot be read as a certificate.
type badFile struct {
	name string
	err  error
}

// anchor is one CA of the directory.
type anchor struct {
	cert *x509.Certificate
	file string // base name
}

// OpenTrustDir opens a trust directory. One that everybody may write to is
// refused, unless it is mounted read-only: who can add a CA can stand in for
// every server. Whose it is does not matter, because the directories of sites
// belong to many a user. Errors are *TrustError of TrustNoDirectory.
func OpenTrustDir(path string) (*TrustDir, error) {
	noDir := func(detail string) error {
		return &TrustError{Reason: TrustNoDirectory, File: path, Detail: detail}
	}
	dir, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, noDir("the directory of trusted CAs does not exist")
	case err != nil:
		return nil, noDir("the directory of trusted CAs cannot be opened: " + files.Cause(err))
	}
	defer dir.Close()
	if files.OpenToAll(dir) {
		return nil, noDir("anybody may put a CA into the directory of trusted CAs: look what is in it, then run chmod o-w")
	}
	names, err := dir.Readdirnames(maxTrustEntries + 1)
	if err != nil && err != io.EOF {
		return nil, noDir("the directory of trusted CAs cannot be read: " + files.Cause(err))
	}
	if len(names) > maxTrustEntries {
		return nil, noDir(fmt.Sprintf("the directory has more than %d entries: is it a directory of trusted CAs?", maxTrustEntries))
	}
	t := &TrustDir{path: path, names: make(map[string]bool, len(names)), read: files.Read}
	anchors := 0
	for _, name := range names {
		t.names[name] = true
		if isAnchorName(name) {
			anchors++
		}
	}
	if anchors == 0 {
		return nil, noDir("the directory holds no trusted CA (no file like 1234abcd.0): install some, or set another directory")
	}
	return t, nil
}

// Path returns the directory's path as it was given.
func (t *TrustDir) Path() string { return t.path }

func (t *TrustDir) file(name string) string { return filepath.Join(t.path, name) }

// isAnchorName goes by the digit alone: the hash is checked by looking for it.
// Hidden files are not meant.
func isAnchorName(name string) bool {
	ext := filepath.Ext(name)
	return !strings.HasPrefix(name, ".") && len(ext) == 2 && ext[1] >= '0' && ext[1] <= '9'
}

// stems returns the names without extension that the files of a CA can have.
func stems(rawSubject []byte) []string {
	old := SubjectHashOld(rawSubject)
	hash, err := SubjectHash(rawSubject)
	if err != nil {
		return []string{old}
	}
	return []string{hash, old}
}

// find returns the directory's CAs of a name. Names are compared in DER. Where
// the hash leads nowhere the whole directory is searched once, because files
// get renamed.
func (t *TrustDir) find(rawSubject []byte) []anchor {
	var out []anchor
	for _, stem := range t.kept.stems(rawSubject) {
		for n := '0'; n <= '9'; n++ {
			name := stem + "." + string(n)
			if !t.names[name] {
				continue
			}
			certs, err := t.load(name)
			if err != nil {
				continue // the search below remembers it
			}
			out = appendMatching(out, certs, name, rawSubject)
		}
	}
	if len(out) > 0 {
		return out
	}
	t.scanOnce.Do(t.scan)
	for _, a := range t.index[string(rawSubject)] {
		out = appendMatching(out, []*x509.Certificate{a.cert}, a.file, rawSubject)
	}
	return out
}

func appendMatching(out []anchor, certs []*x509.Certificate, name string, rawSubject []byte) []anchor {
	for _, c := range certs {
		known := slices.ContainsFunc(out, func(a anchor) bool { return a.cert.Equal(c) })
		if !known && bytes.Equal(c.RawSubject, rawSubject) {
			out = append(out, anchor{c, name})
		}
	}
	return out
}

// scan reads all CAs.
func (t *TrustDir) scan() {
	names := make([]string, 0, len(t.names))
	for name := range t.names {
		if isAnchorName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	t.index = make(map[string][]anchor, len(names))
	for _, name := range names {
		certs, err := t.load(name)
		if err != nil {
			t.bad = append(t.bad, badFile{name, err})
			continue
		}
		for _, c := range certs {
			a := anchor{c, name}
			t.scanned = append(t.scanned, a)
			t.index[string(c.RawSubject)] = append(t.index[string(c.RawSubject)], a)
		}
	}
}

// badFiles says in words which files could not be read, "" where all could.
func (t *TrustDir) badFiles() string {
	t.scanOnce.Do(t.scan)
	switch n := len(t.bad); n {
	case 0:
		return ""
	case 1:
		return "; " + shownName(t.bad[0].name) + " could not be read as a certificate"
	default:
		return fmt.Sprintf("; %s and %d more files could not be read as certificates", shownName(t.bad[0].name), n-1)
	}
}

func (t *TrustDir) load(name string) ([]*x509.Certificate, error) {
	data, err := t.read(t.file(name), maxTrustFile)
	if err != nil {
		return nil, err
	}
	return parseOnce(&t.kept, kindCertificate, nil, data, ParseCertificates)
}

// FindTrustDir returns the trust directory to use: the configured one, the
// environment's X509_CERT_DIR, ~/.globus/certificates, the system's
// /etc/grid-security/certificates, $GLOBUS_LOCATION/share/certificates. The
// first two are final when set; the others count where they exist. One in HOME
// that is neither ours nor root's is refused: su can leave us the HOME of
// somebody else. Errors are *TrustError of TrustNoDirectory.
func FindTrustDir(configured string, getenv func(string) string) (string, error) {
	return findTrustDir(configured, getenv, "/etc/grid-security/certificates")
}

func findTrustDir(configured string, getenv func(string) string, system string) (string, error) {
	for _, set := range []struct{ path, from string }{
		{configured, "the configured directory of trusted CAs"},
		{getenv("X509_CERT_DIR"), "the directory of trusted CAs in X509_CERT_DIR"},
	} {
		switch {
		case set.path == "":
			continue
		case !filepath.IsAbs(set.path):
			return "", &TrustError{Reason: TrustNoDirectory, File: set.path, Detail: set.from + " is not an absolute path"}
		case !files.IsDir(set.path):
			return "", &TrustError{Reason: TrustNoDirectory, File: set.path, Detail: set.from + " does not exist"}
		}
		return set.path, nil
	}
	tried := []string{system}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		own := filepath.Join(home, ".globus", "certificates")
		if uid, is := foreign(own); is {
			return "", &TrustError{Reason: TrustNoDirectory, File: own, Detail: fmt.Sprintf(
				"the directory of trusted CAs in HOME belongs to uid %d, who is neither root nor us (%d): set HOME, X509_CERT_DIR or ca_dir", uid, os.Geteuid())}
		}
		tried = append([]string{own}, tried...)
	}
	if globus := getenv("GLOBUS_LOCATION"); filepath.IsAbs(globus) {
		tried = append(tried, filepath.Join(globus, "share", "certificates"))
	}
	for _, path := range tried {
		if files.IsDir(path) {
			return path, nil
		}
	}
	return "", &TrustError{
		Reason: TrustNoDirectory, File: tried[len(tried)-1],
		Detail: "no directory of trusted CAs found, looked for " + strings.Join(tried, ", ") + ": install the IGTF's CAs or set X509_CERT_DIR",
	}
}

// CAs returns all the directory's CAs that can be read, for whoever verifies
// something else with them than grid certificates. Nothing about them is judged.
func (t *TrustDir) CAs() []*x509.Certificate {
	t.scanOnce.Do(t.scan)
	out := make([]*x509.Certificate, len(t.scanned))
	for i, a := range t.scanned {
		out[i] = a.cert
	}
	return out
}
