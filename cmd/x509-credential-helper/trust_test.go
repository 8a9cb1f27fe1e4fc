package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// someAnchors are CAs in every state that the table knows.
func someAnchors(now time.Time) []gsi.Anchor {
	days := func(n int) time.Time { return now.Add(time.Duration(n) * 24 * time.Hour) }
	dir := "/etc/grid-security/certificates/"
	crl := func(file string, from, until int, fault gsi.TrustReason) gsi.CRLStatus {
		return gsi.CRLStatus{File: dir + file, ThisUpdate: days(from), NextUpdate: days(until), Entries: 3, Fault: fault}
	}
	return []gsi.Anchor{
		{
			Subject: "/DC=eu/DC=rcauth/O=Certification Authorities/CN=Research and Collaboration Authentication Pilot G1 CA", Hash: "5f40742a", OldHash: "d441d54d",
			File: dir + "5f40742a.0", Files: []string{dir + "5f40742a.0", dir + "d441d54d.0"}, NotBefore: days(-4000), NotAfter: days(-294), Until: days(-294),
			KeyText: "RSA 2048", Alias: "RCauth-Pilot-ICA-G1", Policy: "signing_policy", PolicyFile: dir + "5f40742a.signing_policy", Severity: gsi.SeverityError,
			Problems: []gsi.AnchorProblem{
				{Severity: gsi.SeverityError, Reason: gsi.TrustExpired, File: dir + "5f40742a.0", Detail: "the certificate expired at 2026-01-31T23:59:59Z"},
				{Severity: gsi.SeverityOK, Reason: gsi.TrustCRLMissing, File: dir + "5f40742a.r0", Detail: "the CA has no revocation list"},
			},
		},
		{
			File: dir + "00000000.0", Files: []string{dir + "00000000.0"}, Severity: gsi.SeverityError,
			Problems: []gsi.AnchorProblem{{Severity: gsi.SeverityError, Reason: gsi.TrustBadFile, File: dir + "00000000.0", Detail: "the file cannot be read as a certificate"}},
		},
		{
			Subject: "/C=XX/O=Example Grid/CN=Lab CA", Hash: "297d5607", File: dir + "297d5607.0", Files: []string{dir + "297d5607.0"}, Root: true,
			NotBefore: days(-1), NotAfter: days(3000), Until: days(-2), KeyText: "RSA 4096", Policy: "none", Severity: gsi.SeverityError,
			CRLs: []gsi.CRLStatus{crl("297d5607.r0", -30, -2, gsi.TrustCRLExpired)},
			Problems: []gsi.AnchorProblem{
				{Severity: gsi.SeverityError, Reason: gsi.TrustCRLExpired, File: dir + "297d5607.r0", Detail: "the revocation list expired at 2026-11-20T07:30:00Z"},
				{Severity: gsi.SeverityError, Reason: gsi.TrustNoPolicy, File: dir + "297d5607.signing_policy", Detail: "the CA has no signing policy"},
			},
		},
		{
			Subject: "/C=US/O=Example, Inc./CN=A very long name of a CA", Hash: "1daf2f3a", File: dir + "1daf2f3a.0", Files: []string{dir + "1daf2f3a.0"},
			NotBefore: days(-10), NotAfter: days(20), Until: days(6), KeyText: "ECDSA P-256", Alias: "Example-Assured-ID-Grid-Client-RSA2048-SHA256-2022-CA1",
			Policy: "namespaces", PolicyFile: dir + "1daf2f3a.namespaces", Severity: gsi.SeverityOK,
			CRLs: []gsi.CRLStatus{crl("1daf2f3a.r0", -1, 6, ""), crl("1daf2f3a.r1", -30, -2, gsi.TrustCRLExpired)},
		},
	}
}

// TestTrustPages compares what trust prints with testdata/trust, as TestPages.
func TestTrustPages(t *testing.T) {
	anchors := someAnchors(showTime)
	for suffix, p := range map[string]page{
		"file": {}, "40": {width: 40, style: style{unicode: true}}, "80": {width: 80, style: style{unicode: true, color: true}}, "200": {width: 200},
	} {
		list, check := p, p
		golden(t, filepath.Join("trust", "list."+suffix+".golden"), list.anchors(anchors, showTime))
		golden(t, filepath.Join("trust", "check."+suffix+".golden"), check.anchorProblems(&trusted{dir: "/etc/grid-security/certificates", anchors: anchors}))
	}
}

// TestTrustCheckIGTF: what Debian installs is read, and what has expired in it is
// named with its file.
func TestTrustCheckIGTF(t *testing.T) {
	const dir = "/etc/grid-security/certificates"
	file := filepath.Join(dir, "5f40742a.0")
	if _, err := os.Stat(file); err != nil {
		if os.Getenv("X509CH_LAB") == "require" {
			t.Fatalf("%v (Debian: igtf-policy-iota)", err)
		}
		t.Skipf("%v (Debian: igtf-policy-iota)", err)
	}
	_, anchors, err := (&process{}).anchors(dir, time.Now(), gsi.TrustOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var p page
	text := p.anchorProblems(&trusted{dir: dir, anchors: anchors})
	for _, want := range []string{
		"error  RCauth-Pilot-ICA-G1, hash 5f40742a\n",
		"  the certificate expired at 2026-01-31T23:59:59Z; install the CA's new certificate or remove the CA (" + file + ")\n",
		fmt.Sprintf("of the %d trusted CAs in %s\n", len(anchors), dir),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// TestTrustSchema: the output is what the schema says, for directories without
// problems as well.
func TestTrustSchema(t *testing.T) {
	for _, anchors := range [][]gsi.Anchor{someAnchors(showTime), someAnchors(showTime)[3:], nil} {
		for _, check := range []bool{false, true} {
			var out bytes.Buffer
			if err := writeJSON(&out, trustJSON("/certificates", anchors, showTime, check)); err != nil {
				t.Fatal(err)
			}
			if err := conforms(t, "trust", out.Bytes()); err != nil {
				t.Errorf("%v\n%s", err, &out)
			}
		}
	}
}
