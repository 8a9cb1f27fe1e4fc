package gsi

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

const proxiesIntro = `# Proxies and who takes them

Written by a test from the table that it holds real programs to, and not edited: ` + "`go test ./gsi -run 'TestClients|TestProxiesDocument'`" + `,
with ` + "`UPDATE_GOLDEN=1`" + ` to write it anew. Each kind of file is made with the real clock and given to:

- **we**: what ` + "`ParseCredential`, `Verify`, `TrustDir.Verify` and `TrustDir.VerifyVOMS`" + ` say with their strictest options, "yes" or the reason.
- **openssl**: ` + "`openssl verify -allow_proxy_certs`" + ` with the security level (2) and purpose (sslclient) of a grid server. It sees the certificates, not the key.
- **grid-proxy-info** and **voms-proxy-info**: with ` + "`-exists`" + `, which is how scripts ask. They verify no signature.
- **GSI**: ` + "`xrdfs root://`" + ` against an xrootd that speaks GSI without TLS; **GSI+TLS**: against one that turns its clients to TLS.
- **davs**: ` + "`gfal-ls davs://`" + `; **https**: ` + "`curl --cert --key https://`" + `; both against XRootD's HTTP with client certificates.
- **VOMS**: ` + "`xrdfs root://`" + ` against an xrootd that lets in whoever shows valid VOMS attributes, and nobody else.

All are Debian 12's: OpenSSL 3.0, xrootd 5.5.3, gfal2 2.21, curl 7.88, voms 2.1, grid-proxy-utils 7.3. "crash" is a client that ends with a
signal; an empty cell was not asked, because the kind is a variant of another. Unless its name says
otherwise a kind is an RFC 3820 proxy that inherits all rights: RSA 2048, SHA-256, one level below its user's certificate, in a file of
Globus' order (proxy, key, issuers).
`

// columns are the heads of the table, in the order of kind.asked.
var columns = []string{"openssl", "grid-proxy-info", "voms-proxy-info", "GSI", "GSI+TLS", "davs", "https", "VOMS"}

// judges are the columns that are compared with our verdict. Kinds with VOMS
// attributes are judged by who looks at them.
func (k kind) judges() []int {
	if k.asked[7] != '-' {
		return []int{7}
	}
	return []int{0, 3, 4, 5, 6}
}

// differ returns the columns of those who do not agree with us.
func (k kind) differ() []string {
	agree := byte(takes)
	if k.want != nil {
		agree = refuses
	}
	var out []string
	for _, i := range k.judges() {
		if a := k.asked[i]; a != '-' && a != agree && (a != crashes || k.want == nil) {
			out = append(out, columns[i])
		}
	}
	return out
}

// verdictText is a verdict of judge's for people.
func verdictText(v any) string {
	switch v := v.(type) {
	case Fault:
		return "`" + string(v) + "`"
	case TrustReason:
		return "CA: `" + string(v) + "`"
	case voms.Reason:
		return "VOMS: `" + string(v) + "`"
	case error:
		text, _, _ := strings.Cut(v.Error(), ":")
		return "file: " + text
	}
	return "yes"
}

func answerText(a byte) string {
	switch a {
	case takes:
		return "yes"
	case refuses:
		return "no"
	case crashes:
		return "crash"
	}
	return ""
}

func renderSection(b *strings.Builder, s section) {
	n := len(columns) - 1
	if slices.ContainsFunc(s.kinds, func(k kind) bool { return k.asked[n] != '-' }) {
		n++
	}
	fmt.Fprintf(b, "\n## %s\n\n| kind | we | %s |\n|---|---|%s\n", s.title, strings.Join(columns[:n], " | "), strings.Repeat("---|", n))
	for _, k := range s.kinds {
		fmt.Fprintf(b, "| %s | %s |", k.name, verdictText(k.want))
		for i := range n {
			fmt.Fprintf(b, " %s |", answerText(k.asked[i]))
		}
		b.WriteString("\n")
	}
}

// renderDifferences lists the kinds of one direction by their reasons.
func renderDifferences(b *strings.Builder, sections []section, stricter bool) {
	var reasons []string
	names := make(map[string][]string)
	for _, s := range sections {
		for _, k := range s.kinds {
			who := k.differ()
			if len(who) == 0 || stricter != (k.want != nil) {
				continue
			}
			if names[k.why] == nil {
				reasons = append(reasons, k.why)
			}
			names[k.why] = append(names[k.why], fmt.Sprintf("**%s** (%s)", k.name, strings.Join(who, ", ")))
		}
	}
	for _, why := range reasons {
		fmt.Fprintf(b, "- %s: %s\n", strings.Join(names[why], ", "), why)
	}
}

// renderSummary counts. What -exists says is compared with the servers' word:
// that is what scripts use it for.
func renderSummary(b *strings.Builder, sections []section) {
	var all, good, bad, grid, voms int
	for _, s := range sections {
		for _, k := range s.kinds {
			all++
			if k.want == nil && len(k.differ()) == 0 {
				good++
			}
			if strings.Contains(k.asked[3:], string(rune(takes))) {
				continue
			}
			bad++
			grid += strings.Count(k.asked[1:2], string(rune(takes)))
			voms += strings.Count(k.asked[2:3], string(rune(takes)))
		}
	}
	fmt.Fprintf(b, "\nOf %d kinds, %d are taken by us and by every server and verifier asked, and %d by no server that was asked. Of those %[3]d, grid-proxy-info\n"+
		"calls %d a valid proxy and voms-proxy-info %d.\n", all, good, bad, grid, voms)
}

func renderProxies(sections []section) string {
	var b strings.Builder
	b.WriteString(proxiesIntro)
	renderSummary(&b, sections)
	for _, s := range sections {
		renderSection(&b, s)
	}
	b.WriteString("\n## Where we are stricter, and why\n\nIn brackets: who takes it.\n\n")
	renderDifferences(&b, sections, true)
	b.WriteString("\n## Where we are laxer, and why\n\nIn brackets: who refuses it.\n\n")
	renderDifferences(&b, sections, false)
	return b.String()
}

// TestProxiesDocument: docs/proxies.md is the table that TestClients holds the
// clients to, and every difference between them and us has its reason there.
func TestProxiesDocument(t *testing.T) {
	sections := kinds()
	for _, s := range sections {
		for _, k := range s.kinds {
			if len(k.asked) != len(columns) || strings.Trim(k.asked, "ynx-") != "" {
				t.Fatalf("%s: asked is %q, want %d letters", k.name, k.asked, len(columns))
			}
			switch who := k.differ(); {
			case len(who) > 0 && k.why == "":
				t.Errorf("%s: %s differ from us, and there is no reason", k.name, who)
			case len(who) == 0 && k.why != "":
				t.Errorf("%s: a reason, and nobody differs from us", k.name)
			}
		}
	}
	path := filepath.Join("..", "docs", "proxies.md")
	want := renderProxies(sections)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/proxies.md is not what the table says (%v); UPDATE_GOLDEN=1 writes it anew", err)
	}
}
