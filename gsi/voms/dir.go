package voms

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/files"
)

// DefaultDir is where the VOMS libraries look for VOMS servers' names.
const DefaultDir = "/etc/grid-security/vomsdir"

// Limits of a vomsdir.
const (
	maxDirEntries = 20000
	maxAAFiles    = 256 // certificates of one VO
	maxAAFile     = 64 << 10
	maxHost       = 253
)

// Dir is a "vomsdir": VO/HOST.lsc says by which certificates the VOMS server on
// HOST signs for VO (see ParseLSC). Where that file is missing, VO/*.pem and
// *.pem may hold the server's certificate itself, as before there were .lsc
// files.
//
// Opening it reads nothing; files are read when attributes need them. It may
// be used from several goroutines.
type Dir struct{ path string }

// OpenDir opens a vomsdir. Errors are *VerifyError of ReasonNoDirectory.
func OpenDir(path string) (*Dir, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, noDirectory(path, "the directory of VOMS servers does not exist")
	case err != nil:
		return nil, noDirectory(path, "the directory of VOMS servers cannot be opened: "+files.Cause(err))
	case !st.IsDir():
		return nil, noDirectory(path, "the directory of VOMS servers is no directory")
	}
	return &Dir{path: path}, nil
}

func noDirectory(path, detail string) error {
	return &VerifyError{Reason: ReasonNoDirectory, File: path, Detail: detail}
}

// Path returns the directory's path as it was given.
func (d *Dir) Path() string { return d.path }

// FindDir returns the vomsdir to use: the configured one, the environment's
// X509_VOMS_DIR, DefaultDir. That is the order of libvomsapi, which knows none
// in the home directory. Errors are *VerifyError of ReasonNoDirectory.
func FindDir(configured string, getenv func(string) string) (string, error) {
	for _, set := range []struct{ path, from string }{
		{configured, "the configured directory of VOMS servers"},
		{getenv("X509_VOMS_DIR"), "the directory of VOMS servers in X509_VOMS_DIR"},
	} {
		switch {
		case set.path == "":
			continue
		case !filepath.IsAbs(set.path):
			return "", noDirectory(set.path, set.from+" is not an absolute path")
		case !files.IsDir(set.path):
			return "", noDirectory(set.path, set.from+" does not exist")
		}
		return set.path, nil
	}
	if !files.IsDir(DefaultDir) {
		return "", noDirectory(DefaultDir, "no directory of VOMS servers found: install the VO's .lsc file or set X509_VOMS_DIR")
	}
	return DefaultDir, nil
}

// isHost says whether s may be the name of a host, and so of a file: letters,
// digits, '.' and '-', a letter or digit first.
func isHost(s string) bool {
	return len(s) <= maxHost && isName(s) && !strings.Contains(s, "_")
}

// lsc returns the chains of a server's .lsc file and its path; no chains and
// no error where there is no such file. Name and host must have been checked.
func (d *Dir) lsc(vo, host string) ([][]string, string, *VerifyError) {
	path := filepath.Join(d.path, vo, host+".lsc")
	data, err := files.Read(path, maxLSC)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, path, nil
	}
	var chains [][]string
	if err == nil {
		chains, err = ParseLSC(data)
	}
	if err != nil {
		return nil, path, &VerifyError{Reason: ReasonBadFile, File: path, Err: err,
			Detail: "the list of certificates of the VOMS server cannot be used: " + files.Cause(err)}
	}
	return chains, path, nil
}

// storedAA is a VOMS server's certificate in the directory itself.
type storedAA struct {
	cert *x509.Certificate
	file string
}

// authorities returns the certificates of one name that the directory itself
// holds, those of the VO first. Files that are none are skipped, as the
// libraries do.
func (d *Dir) authorities(vo string, rawSubject []byte) []storedAA {
	var out []storedAA
	for _, dir := range []string{filepath.Join(d.path, vo), d.path} {
		for _, file := range pemFiles(dir) {
			cert := readCertificate(file)
			if cert != nil && slices.Equal(cert.RawSubject, rawSubject) {
				out = append(out, storedAA{cert, file})
			}
		}
	}
	return out
}

// pemFiles lists at most maxAAFiles files of a directory, sorted.
func pemFiles(path string) []string {
	dir, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxDirEntries)
	if err != nil && err != io.EOF {
		return nil
	}
	var out []string
	for _, name := range names {
		if strings.HasSuffix(name, ".pem") {
			out = append(out, filepath.Join(path, name))
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxAAFiles)]
}

// readCertificate returns the first certificate of a file, nil where there is
// none.
func readCertificate(path string) *x509.Certificate {
	data, err := files.Read(path, maxAAFile)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}
