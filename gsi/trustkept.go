package gsi

import (
	"crypto/x509"
	"sync"
)

// Limits of what a TrustDir keeps. All certificates and signing policies of the
// IGTF have 170 kB; the rest is for revocation lists.
const (
	maxKeptBytes = 8 << 20 // of files, before they are parsed
	maxKeptNames = 1000
	maxKeptName  = 1 << 10 // bytes of one name
)

// kept is what a TrustDir has parsed already. Files are known by their content,
// not by their name: each is read again every time, so what is kept is never
// older than the directory. Nothing is thrown away before the TrustDir is;
// beyond the limits files are parsed each time. What is kept is not changed.
type kept struct {
	mu     sync.Mutex
	used   int // bytes of files
	files  map[keptFile]any
	hashes map[string][]string           // by raw name
	good   map[[2]*x509.Certificate]bool // signatures: child and issuer
}

type keptFile struct {
	kind trustKind
	ca   *x509.Certificate // that a revocation list was verified with
	text string
}

// stems is the package's stems, computed once for a name: verifying a chain
// asks dozens of times.
func (k *kept) stems(rawSubject []byte) []string {
	k.mu.Lock()
	known := k.hashes[string(rawSubject)]
	k.mu.Unlock()
	if known != nil {
		return known
	}
	known = stems(rawSubject)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hashes == nil {
		k.hashes = map[string][]string{}
	}
	if len(k.hashes) < maxKeptNames && len(rawSubject) <= maxKeptName {
		k.hashes[string(rawSubject)] = known
	}
	return known
}

// signed verifies a signature. Those of one CA of the directory on another are
// verified once: most sub-CAs have a CA in common above them.
func (k *kept) signed(child, issuer anchor) bool {
	c := child.cert
	verify := func() bool {
		return issuer.cert.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
	}
	if child.file == "" || issuer.file == "" {
		return verify()
	}
	key := [2]*x509.Certificate{c, issuer.cert}
	k.mu.Lock()
	known := k.good[key]
	k.mu.Unlock()
	if known || !verify() {
		return known
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.good == nil {
		k.good = map[[2]*x509.Certificate]bool{}
	}
	if len(k.good) < maxKeptNames {
		k.good[key] = true
	}
	return true
}

// parseOnce parses a file of a kind that has not been parsed before. What is not
// well is not kept.
func parseOnce[T any](k *kept, kind trustKind, ca *x509.Certificate, data []byte, parse func([]byte) (T, error)) (T, error) {
	k.mu.Lock()
	known, ok := k.files[keptFile{kind, ca, string(data)}]
	k.mu.Unlock()
	if ok {
		return known.(T), nil
	}
	parsed, err := parse(data)
	if err != nil {
		return parsed, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.files == nil {
		k.files = map[keptFile]any{}
	}
	key := keptFile{kind, ca, string(data)}
	switch other, ok := k.files[key]; {
	case ok: // another goroutine was faster; one certificate is one pointer
		return other.(T), nil
	case k.used+len(data) <= maxKeptBytes:
		k.used += len(data)
		k.files[key] = parsed
	}
	return parsed, nil
}
