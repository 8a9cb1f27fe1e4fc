package gsi

import (
	"cmp"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/files"
)

// Severity says how bad a problem of a trust anchor is.
type Severity int

// The severities. An Error makes certificates of the CA be refused, now or at
// the next strict reading; a Warning does not yet; what is only noted (a CA
// without a revocation list) is SeverityOK.
const (
	SeverityOK Severity = iota
	SeverityWarning
	SeverityError
)

// String returns "ok", "warning" or "error".
func (s Severity) String() string {
	switch s {
	case SeverityError:
		return "error"
	case SeverityWarning:
		return "warning"
	}
	return "ok"
}

// AnchorProblem is one thing about an anchor that somebody should know.
type AnchorProblem struct {
	Severity Severity
	Reason   TrustReason
	File     string // path of the file that is meant
	Detail   string // a sentence without its end: what is wrong, and what helps
}

// CRLStatus is one revocation list of a CA.
type CRLStatus struct {
	File       string // path
	ThisUpdate time.Time
	NextUpdate time.Time   // zero: the list never expires
	Entries    int         // revoked certificates
	Fault      TrustReason // "" where the list counts; TrustBadFile, TrustCRLInvalid, TrustCRLExpired, TrustCRLNotYetValid
	Detail     string      // of the fault, a sentence without its end
}

// Anchor is one CA of a trust directory, with all that the directory says
// about it. A file that cannot be read as a certificate is an Anchor, too: it
// has a File, a problem and no Subject.
type Anchor struct {
	Subject    string   // one-line form
	SubjectRaw []byte   // DER
	Hash       string   // SubjectHash
	OldHash    string   // SubjectHashOld
	File       string   // path of the first of its files
	Files      []string // paths of all files that hold the certificate, links too
	NotBefore  time.Time
	NotAfter   time.Time
	Root       bool        // self-signed
	KeyText    string      // e.g. "RSA 2048", "ECDSA P-256"
	Alias      string      // of the .info file, or ""
	Info       *AnchorInfo // nil without a readable .info file
	Policy     string      // "signing_policy", "namespaces" or "none"
	PolicyFile string      // path, "" for none
	CRLs       []CRLStatus
	Problems   []AnchorProblem // worst first
	Severity   Severity        // of the worst problem
	// Until is when something of it first lapses, or has: the certificate, or
	// the freshest of its revocation lists. Zero for a file that is no certificate.
	Until time.Time
}

// Anchors lists what the directory holds at a time: errors first, then
// warnings, and among equals what ends soonest. A CA that lies there under
// several names is one Anchor. All CAs, policies and revocation lists are
// read for it.
func (t *TrustDir) Anchors(now time.Time, opts TrustOptions) []Anchor {
	t.scanOnce.Do(t.scan)
	c := &anchorCheck{dir: t, now: now, opts: opts}
	c.readInfos()
	out := make([]Anchor, 0, len(t.scanned)/2+len(t.bad))
	seen := make(map[string]int, len(t.scanned))
	var certs []anchor // the certificate of each of out
	for _, a := range t.scanned {
		if i, ok := seen[string(a.cert.Raw)]; ok {
			out[i].Files = append(out[i].Files, t.file(a.file))
			continue
		}
		seen[string(a.cert.Raw)] = len(out)
		certs = append(certs, a)
		out = append(out, Anchor{File: t.file(a.file), Files: []string{t.file(a.file)}})
	}
	for i := range out {
		c.describe(&out[i], certs[i])
		c.judge(&out[i], certs[i])
	}
	for _, bad := range t.bad {
		a := Anchor{File: t.file(bad.name), Files: []string{t.file(bad.name)}, Policy: string(policyNone)}
		a.add(SeverityError, TrustBadFile, a.File, "the file cannot be read as a certificate ("+files.Cause(bad.err)+")", "install it again or remove it")
		out = append(out, a)
	}
	for i := range out {
		slices.SortStableFunc(out[i].Problems, func(a, b AnchorProblem) int { return cmp.Compare(b.Severity, a.Severity) })
	}
	slices.SortStableFunc(out, func(a, b Anchor) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), a.Until.Compare(b.Until), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.File, b.File))
	})
	return out
}

func (a *Anchor) add(severity Severity, reason TrustReason, file, detail, remedy string) {
	a.Problems = append(a.Problems, AnchorProblem{severity, reason, file, detail + "; " + remedy})
	a.Severity = max(a.Severity, severity)
}
