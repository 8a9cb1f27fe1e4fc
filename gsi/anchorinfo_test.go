package gsi

import (
	"reflect"
	"strings"
	"testing"
)

// TestParseAnchorInfo: the shapes that the IGTF's files have.
func TestParseAnchorInfo(t *testing.T) {
	got, err := ParseAnchorInfo([]byte(`#
# @(#)$Id: Lab.info$
alias	=  Lab-CA
requires = Lab-Root = 1.2, \
    Other, \

ca_url = https://lab.example.org/ca.pem?a=b
crl_url = http://lab.example.org/crl ; http://mirror.example.org/crl
crl_url.1 = ftp://lab.example.org/crl
policy_url = https://lab.example.org/policy
email = ca@lab.example.org
status = accredited:classic
url =
version = 1.133
sha1fp.0 = 8B:F3
sha1fp.1 = 00:11
subjectdn = "/C=XX/O=Lab, Inc./CN=Lab CA", \
    "/C=XX/CN=Lab CA 2"
something.else = x
OBSOLETES = Old-CA,Older-CA` + "\r\n"))
	want := &AnchorInfo{
		Alias: "Lab-CA", Status: "accredited:classic", Version: "1.133", CAURL: "https://lab.example.org/ca.pem?a=b",
		PolicyURL:  "https://lab.example.org/policy",
		CRLURLs:    []string{"http://lab.example.org/crl", "http://mirror.example.org/crl", "ftp://lab.example.org/crl"},
		Email:      "ca@lab.example.org",
		SHA1:       []string{"8B:F3", "00:11"},
		SubjectDNs: []string{"/C=XX/O=Lab, Inc./CN=Lab CA", "/C=XX/CN=Lab CA 2"},
		Requires:   []string{"Lab-Root = 1.2", "Other"},
		Obsoletes:  []string{"Old-CA", "Older-CA"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for why, text := range map[string]string{
		"empty":          "",
		"names nobody":   "version = 1\n",
		"no key":         "alias = a\nwhat?\n",
		"twice":          "alias = a\nalias = b\n",
		"quote not shut": "alias = a\nsubjectdn = \"/C=XX\n",
		"long list":      "alias = a\nrequires = " + strings.Repeat("a,", maxInfoItems+2),
		"many lists":     "alias = a\n" + strings.Repeat("requires = a\n", maxInfoItems+1),
		"large":          strings.Repeat("#", maxTrustFile+1),
	} {
		if _, err := ParseAnchorInfo([]byte(text)); err == nil {
			t.Errorf("%s: no error", why)
		}
	}
}
