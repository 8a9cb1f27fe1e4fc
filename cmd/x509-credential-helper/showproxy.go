package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// shownProxy is all that show knows about a file.
type shownProxy struct {
	file  *proxyFile
	chain []*x509.Certificate
	info  *gsi.Info // nil where nobody can say whose the chain is
	key   string    // "none", "encrypted", "plain" or, of another certificate, "wrong"
	now   time.Time

	acs []shownAC

	// notBefore and notAfter are those of the certificates. The attributes that
	// count may begin later and end earlier: begins and ends are for all of them.
	notBefore, notAfter time.Time
	begins              time.Time
	ends                ending

	problems []problem // what is wrong with it, and in the eyes of --verify
	remarks  []remark  // what some tool will not like
}

// shownAC is an attribute certificate and where it was found.
type shownAC struct {
	voms.Attributes
	depth int // of its certificate in the chain

	// hidden: a proxy nearer to the leaf has attributes, and those count
	// (measured: voms-proxy-info 2.1).
	hidden bool
}

// ending is the first end among certificates and attributes.
type ending struct {
	what     string // "certificate" or "attributes"
	depth    int    // of the certificate
	vo       string // of the attributes
	notAfter time.Time
}

// problem is one thing that is wrong.
type problem struct {
	code    string // open set: gsi.Fault, gsi.TrustReason, voms.Reason
	depth   int    // of the certificate, -1 for none
	file    string // that says so, or ""
	message string // a sentence without its end
	subject string // of the certificate that the sentence is about, or ""
}

// text is the sentence with the name that it needs.
func (p problem) text() string {
	if p.subject == "" {
		return p.message
	}
	return p.message + ": " + p.subject
}

// blame adds the file that says so to a sentence.
func (p problem) blame(text string) string {
	if p.file == "" || strings.Contains(text, p.file) {
		return text
	}
	return text + " (" + clean(p.file) + ")"
}

// remark is one thing that is not wrong, but that some tool will not like.
type remark struct{ code, message string }

// parseProxy reads what a file holds. It fails where no certificate can be
// read; whatever else is wrong becomes a problem.
func parseProxy(file *proxyFile, data []byte, now time.Time) (*shownProxy, error) {
	cred, err := gsi.ParseCredentialWith(data, gsi.ParseOptions{KeyOptional: true})
	if err != nil {
		return nil, err
	}
	s := &shownProxy{file: file, chain: cred.Chain, key: keyState(data), now: now}
	for _, fault := range gsi.Examine(cred, gsi.VerifyOptions{Now: now}) {
		if fault.Fault == gsi.FaultWrongKey {
			s.key = "wrong"
		}
		if fault.Fault == gsi.FaultOutlives { // no server minds (measured), and time left is counted right
			s.remarks = append(s.remarks, remark{string(fault.Fault), clean(s.shortName(fault.Depth) + ": " + fault.Detail)})
			continue
		}
		s.addProblem(problem{string(fault.Fault), fault.Depth, "", fault.Detail, fault.Subject})
	}
	if err := s.readAttributes(); err != nil {
		s.addProblem(problem{code: "malformed_attributes", depth: -1, message: err.Error()})
	} else if s.info, err = gsi.Inspect(s.chain); err != nil && len(s.problems) == 0 {
		s.addProblem(problem{code: "unreadable", message: err.Error()})
	}
	s.measure()
	s.remarks = append(s.remarks, s.file.remarks(s.key != "none")...)
	if !beginsWith(data, s.chain[0].Raw) {
		s.remarks = append(s.remarks, remark{"order", "the file does not begin with the certificate of its key: tools that use TLS fail on it"})
	}
	s.remarkOnKey()
	return s, nil
}

// addProblem leaves out what was said before.
func (s *shownProxy) addProblem(p problem) {
	p.message, p.subject = clean(p.message), clean(p.subject)
	for _, said := range s.problems {
		if said.message == p.message && said.subject == p.subject {
			return
		}
	}
	s.problems = append(s.problems, p)
}

func (s *shownProxy) readAttributes() error {
	for depth, c := range s.chain {
		attributes, err := voms.Parse(c)
		if err != nil {
			return fmt.Errorf("the VOMS attributes cannot be read: %w", err)
		}
		for _, a := range attributes {
			hidden := len(s.acs) > 0 && s.acs[0].depth != depth
			s.acs = append(s.acs, shownAC{a, depth, hidden})
		}
	}
	return nil
}

// measure finds the time in which the certificates are all valid, and what ends
// first.
func (s *shownProxy) measure() {
	for depth, c := range s.chain {
		if depth == 0 || c.NotBefore.After(s.notBefore) {
			s.notBefore = c.NotBefore
		}
		if depth == 0 || c.NotAfter.Before(s.notAfter) {
			s.notAfter = c.NotAfter
			s.ends = ending{what: "certificate", depth: depth, notAfter: c.NotAfter}
		}
	}
	s.begins = s.notBefore
	for _, a := range s.acs {
		if a.hidden {
			continue
		}
		if a.NotBefore.After(s.begins) {
			s.begins = a.NotBefore
		}
		if a.NotAfter.Before(s.ends.notAfter) {
			s.ends = ending{what: "attributes", depth: a.depth, vo: a.VO, notAfter: a.NotAfter}
		}
		switch s.state(a.NotBefore, a.NotAfter) {
		case stateExpired:
			s.addProblem(problem{code: string(voms.ReasonExpired), depth: a.depth,
				message: fmt.Sprintf("the attributes of %s expired at %s", voName(a.VO), clock(a.NotAfter))})
		case stateNotYet:
			s.addProblem(problem{code: string(voms.ReasonNotYetValid), depth: a.depth,
				message: fmt.Sprintf("the attributes of %s are valid only from %s on", voName(a.VO), clock(a.NotBefore))})
		}
	}
}

// voName names a VO in a sentence.
func voName(vo string) string {
	if vo == "" {
		return "a VO without a name"
	}
	return "VO " + clean(vo)
}

// The states of something that lives from a time to a time.
const (
	stateValid   = "valid"
	stateExpired = "expired"
	stateNotYet  = "not_yet_valid"
)

func (s *shownProxy) state(notBefore, notAfter time.Time) string {
	switch {
	case s.now.After(notAfter):
		return stateExpired
	case s.now.Before(notBefore):
		return stateNotYet
	}
	return stateValid
}

// good says whether the exit status is 0: somebody's chain, valid now.
func (s *shownProxy) good() bool {
	return s.info != nil && s.state(s.notBefore, s.notAfter) == stateValid
}

// whyBad is why it is not good, in one sentence.
func (s *shownProxy) whyBad() string {
	switch s.state(s.notBefore, s.notAfter) {
	case stateExpired:
		return "the proxy expired at " + clock(s.notAfter)
	case stateNotYet:
		return "the proxy is valid only from " + clock(s.notBefore) + " on"
	}
	if len(s.problems) == 0 {
		return "the certificates are of nobody's proxy"
	}
	return s.problems[0].text()
}

// left is the number of whole seconds from now to a time, below 0 if it is over.
func (s *shownProxy) left(end time.Time) int64 {
	d := end.Sub(s.now)
	if d < 0 {
		d -= time.Second - 1 // down, not towards 0
	}
	return int64(d / time.Second)
}

// use is left for who wants to begin now: 0 before the time has come.
func (s *shownProxy) use(notBefore, notAfter time.Time) int64 {
	if s.state(notBefore, notAfter) != stateValid {
		return 0
	}
	return s.left(notAfter)
}

// remarkOnKey: a file without a key is no proxy for anybody, though it may be
// just what somebody wanted to see.
func (s *shownProxy) remarkOnKey() {
	isProxy := s.info != nil && s.info.Type != gsi.TypeEEC
	add := func(code, message string) { s.remarks = append(s.remarks, remark{code, message}) }
	switch {
	case !isProxy:
	case s.key == "none":
		add("no_key", "the file has no private key, so no tool can use the proxy")
	case s.key == "encrypted":
		add("encrypted_key", "the private key is encrypted: tools expect that of a proxy to be open")
	}
	if isProxy && s.info.KeyAlgorithm != "RSA" {
		add("key_type", "the key is not RSA: XRootD's GSI (root:// without TLS) and MyProxy's online CA refuse it")
	}
}

// verify asks the trusted CAs about the chain, and the vomsdir about the
// attributes.
func (s *shownProxy) verify(getenv func(string) string) {
	dir, err := gsi.FindTrustDir("", getenv)
	if err != nil {
		s.addTrustProblem(err)
		return
	}
	trust, err := gsi.OpenTrustDir(dir)
	if err != nil {
		s.addTrustProblem(err)
		return
	}
	if err := trust.Verify(s.chain, s.now, gsi.TrustOptions{}); err != nil {
		s.addTrustProblem(err)
	}
	if len(s.acs) == 0 || s.info == nil {
		return
	}
	vomsdir, err := voms.FindDir("", getenv)
	if err != nil {
		s.addProblem(problem{code: string(voms.ReasonLSCMissing), depth: -1, message: err.Error()})
		return
	}
	authorities, err := voms.OpenDir(vomsdir)
	if err != nil {
		s.addProblem(problem{code: string(voms.ReasonLSCMissing), depth: -1, file: vomsdir, message: err.Error()})
		return
	}
	for i := range s.acs {
		s.verifyAttributes(&s.acs[i], trust, authorities)
	}
}

func (s *shownProxy) verifyAttributes(a *shownAC, trust *gsi.TrustDir, dir *voms.Dir) {
	err := voms.Verify(&a.Attributes, voms.VerifyOptions{
		Now: s.now, Holder: s.chain[s.info.Depth], Dir: dir,
		Trust: func(chain []*x509.Certificate) error { return trust.Verify(chain, s.now, gsi.TrustOptions{}) },
	})
	var e *voms.VerifyError
	switch {
	case err == nil:
	case !errors.As(err, &e):
		s.addProblem(problem{code: "attributes", depth: a.depth, message: err.Error()})
	case e.Reason == voms.ReasonExpired, e.Reason == voms.ReasonNotYetValid: // was said without being asked
	default:
		s.addProblem(problem{code: string(e.Reason), depth: a.depth, file: e.File,
			message: "the attributes of " + voName(a.VO) + " are not to be believed: " + e.Detail})
	}
}

// addTrustProblem leaves out what the chain has already said of itself.
func (s *shownProxy) addTrustProblem(err error) {
	var e *gsi.TrustError
	if !errors.As(err, &e) {
		s.addProblem(problem{code: "trust", depth: -1, message: err.Error()})
		return
	}
	s.addProblem(problem{code: string(e.Reason), depth: -1, file: e.File, message: e.Detail, subject: e.Subject})
}

// clock writes a time for people. The Grid counts in UTC.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
