package voms

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/dn"
)

// Limits of a .lsc file. Real ones have two lines.
const (
	maxLSC       = 64 << 10
	maxLSCChains = 64
	maxLSCLine   = 998 // bytes; libvomsapi reads no more
)

// ParseLSC reads a .lsc file, which says by which certificates a VO's server
// signs: for each certificate of the chain that the server sends along, from
// its own up, a line with its subject and a line with its issuer in the
// one-line form. Each chain that it returns is such a list, of even length.
//
// Chains are separated by a line "------ NEXT CHAIN ------" (libvomsapi) or
// "------NEXT CHAIN------" (the Java library). Blank lines and lines that
// begin with '#' are skipped; a line may stand in double quotes. Anything else
// is an error, so that a damaged file allows nothing.
func ParseLSC(data []byte) ([][]string, error) {
	if len(data) > maxLSC {
		return nil, fmt.Errorf("larger than %d bytes", maxLSC)
	}
	var chains [][]string
	var chain []string
	next := func() error {
		if len(chain)%2 != 0 {
			return errors.New("a subject without its issuer: each certificate has two lines")
		}
		if len(chain) > 0 {
			chains = append(chains, chain)
		}
		chain = nil
		return nil
	}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		var err error
		if isNextChain(line) {
			err = next()
		} else if line, err = lscLine(line); err == nil {
			chain = append(chain, line)
		}
		if len(chain) > 2*maxCertificates || len(chains) == maxLSCChains {
			err = errors.New("too many certificates")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	err := next()
	if err == nil && len(chains) == 0 {
		err = errors.New("it names no certificate")
	}
	if err != nil {
		return nil, err
	}
	return chains, nil
}

func isNextChain(line string) bool {
	return line == "------ NEXT CHAIN ------" || strings.EqualFold(line, "------NEXT CHAIN------")
}

func lscLine(line string) (string, error) {
	if inner, ok := strings.CutPrefix(line, `"`); ok {
		if line, ok = strings.CutSuffix(inner, `"`); !ok {
			return "", errors.New("the quotation mark at its end is missing")
		}
		line = strings.TrimSpace(line)
	}
	switch {
	case len(line) > maxLSCLine:
		return "", fmt.Errorf("longer than %d bytes", maxLSCLine)
	case !strings.HasPrefix(line, "/"):
		return "", errors.New("not a name like /DC=org/CN=voms.example.org")
	case !isClean(line):
		return "", errors.New("a name with characters that cannot be printed")
	}
	return line, nil
}

// matchesLSC reports whether one of the chains is that of certs: as long, and
// with the same names. libvomsapi would let more lines follow, the Java library
// does not.
func matchesLSC(chains [][]string, certs []*x509.Certificate) bool {
	for _, chain := range chains {
		if matchesChain(chain, certs) {
			return true
		}
	}
	return false
}

func matchesChain(chain []string, certs []*x509.Certificate) bool {
	if len(certs) == 0 || len(chain) != 2*len(certs) {
		return false
	}
	for i, c := range certs {
		if !dn.Match(c.RawSubject, chain[2*i]) || !dn.Match(c.RawIssuer, chain[2*i+1]) {
			return false
		}
	}
	return true
}
