package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// VOMSMode is what the server does about VONAME.
type VOMSMode int

// The modes.
const (
	// VOMSIgnored answers with a plain proxy, without a word: measured, where
	// the server's support is switched off, and always in CA mode.
	VOMSIgnored VOMSMode = iota
	// VOMSAttached attaches attributes of Options.VOs.
	VOMSAttached
	// VOMSUnreachable answers with the texts of a server that reaches no VOMS
	// server, finds none of the VO in the request's VOMSES lines or, where it has
	// none of those, knows none.
	VOMSUnreachable
)

const vomsHost = "voms.sandbox.invalid"

// vomsAuthority makes the certificate that signs attributes, and the file in
// which tools look for its DN (X509_VOMS_DIR).
func (s *Sandbox) vomsAuthority() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := s.now()
	cert, err := s.ca.host(vomsHost, []string{vomsHost}, key.Public(), now.Add(-past), now.AddDate(1, 0, 0))
	if err != nil {
		return err
	}
	s.vomsCert, s.vomsKey = cert, key
	subject, err := gsi.OneLine(cert.RawSubject)
	if err != nil {
		return err
	}
	issuer, err := gsi.OneLine(cert.RawIssuer)
	if err != nil {
		return err
	}
	for vo := range s.opts.VOs {
		dir := filepath.Join(s.VOMSDir(), vo)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, vomsHost+".lsc"), []byte(subject+"\n"+issuer+"\n")); err != nil {
			return err
		}
	}
	return nil
}

// attributes returns the extension that a proxy of this request gets. The text
// is the real server's when it gets none.
func (s *Sandbox) attributes(r *request, holder *x509.Certificate, from, to time.Time) ([]pkix.Extension, string) {
	if len(r.voName) == 0 || s.opts.VOMS == VOMSIgnored {
		return nil, ""
	}
	if s.opts.VOMS == VOMSUnreachable && len(r.vomses) == 0 {
		return nil, "No VOMS Server Information\nCouldn't get VOMS User Information."
	}
	if s.opts.VOMS != VOMSAttached {
		vo, _, _ := strings.Cut(r.voName[0], ":")
		text := fmt.Sprintf("Couldn't get user information for %s VO.\nCouldn't get VOMS User Information.", vo)
		if !namesServer(r.vomses, vo) {
			text = "Error finding voms server info.\n" + text
		}
		return nil, text
	}
	return s.memberships(r, holder, from, to)
}

// vomsesLine are the five fields that a line must have.
const vomsesLine = `^\s*"([^"]*)"(?:\s+"[^"]*"){4}`

// namesServer says whether a line of the request names a server of the VO by
// the first field, the alias: measured, where the fifth has another name too.
func namesServer(vomses []string, vo string) bool {
	fields := regexp.MustCompile(vomsesLine)
	return slices.ContainsFunc(vomses, func(line string) bool {
		found := fields.FindStringSubmatch(line)
		return found != nil && found[1] == vo
	})
}

// memberships are the attributes of Options.VOs, for whoever asks.
func (s *Sandbox) memberships(r *request, holder *x509.Certificate, from, to time.Time) ([]pkix.Extension, string) {
	var vos []string
	asked := map[string][]string{}
	for _, name := range r.voName {
		vo, fqan, _ := strings.Cut(name, ":")
		if _, again := asked[vo]; !again {
			vos = append(vos, vo)
		}
		asked[vo] = append(asked[vo], fqan)
	}
	var found []pkix.Extension
	for _, vo := range vos {
		fqans, ok := s.fqans(vo, asked[vo])
		if !ok {
			return nil, fmt.Sprintf("Couldn't get user information for %s VO.\nCouldn't get VOMS User Information.", vo)
		}
		ext, err := voms.Sign(voms.SignOptions{
			Issuer: s.vomsCert, Key: s.vomsKey, Holder: holder,
			VO: vo, Host: vomsHost + ":15000", FQANs: fqans, NotBefore: from, NotAfter: to,
		})
		if err != nil {
			return nil, "Couldn't get VOMS User Information."
		}
		found = append(found, ext)
	}
	joined, err := joinSequences(found)
	if err != nil {
		return nil, "Couldn't get VOMS User Information."
	}
	return joined, ""
}

// fqans is what a VOMS server gives a member of Options.VOs: all groups and,
// on request only, roles; what was asked for comes first.
func (s *Sandbox) fqans(vo string, asked []string) ([]string, bool) {
	member, ok := s.opts.VOs[vo]
	if !ok {
		return nil, false
	}
	var given []string
	for _, fqan := range asked {
		if fqan == "" || fqan == "/"+vo {
			continue
		}
		if !slices.Contains(member, fqan) {
			return nil, false
		}
		given = append(given, fqan)
	}
	for _, fqan := range member {
		if !strings.Contains(fqan, "/Role=") && !slices.Contains(given, fqan) {
			given = append(given, fqan)
		}
	}
	return given, len(given) > 0
}

// joinSequences makes one extension of several: each holds a SEQUENCE of
// SEQUENCEs of attribute certificates, and a certificate may hold the
// extension once (RFC 5280 section 4.2).
func joinSequences(extensions []pkix.Extension) ([]pkix.Extension, error) {
	if len(extensions) < 2 {
		return extensions, nil
	}
	var all []asn1.RawValue
	for _, ext := range extensions {
		var lists [][]asn1.RawValue
		if _, err := asn1.Unmarshal(ext.Value, &lists); err != nil {
			return nil, err
		}
		for _, list := range lists {
			all = append(all, list...)
		}
	}
	value, err := asn1.Marshal([][]asn1.RawValue{all})
	if err != nil {
		return nil, err
	}
	joined := extensions[0]
	joined.Value = value
	return []pkix.Extension{joined}, nil
}
