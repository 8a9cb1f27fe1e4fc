package consumer

import (
	"slices"
	"testing"
)

// TestEnviron: what competes with the proxy is gone, what names it is there
// once, and everything else is as it was and where it was.
func TestEnviron(t *testing.T) {
	start := []string{
		"PATH=/bin", "X509_USER_PROXY=/tmp/old", "X509_USER_CERT=/c", "X509_USER_KEY=/k",
		"XrdSecGSIUSERCERT=/c", "XrdSecGSIUSERKEY=/k", "XrdSecGSIUSERPROXY=/p", "RUCIO_CLIENT_PROXY=/r",
		"XrdSecGSICREATEPROXY=1", "XrdSecGSICADIR=/theirs", "X509_USER_PROXY=/tmp/older", "X509_CERT_DIR=/mine", "ODD", "=C:=x",
		"X509_USER_CERTS=not ours", "LAST=a=b",
	}
	before := slices.Clone(start)
	for _, tc := range []struct {
		name  string
		proxy Proxy
		want  []string
	}{
		{"the tool's own anchors", Proxy{File: "/run/p.pem"},
			[]string{"PATH=/bin", "XrdSecGSICADIR=/theirs", "X509_CERT_DIR=/mine", "ODD", "=C:=x", "X509_USER_CERTS=not ours", "LAST=a=b",
				"X509_USER_PROXY=/run/p.pem", "XrdSecGSICREATEPROXY=0"}},
		{"the profile's anchors", Proxy{File: "/run/p.pem", CADir: "/ca"},
			[]string{"PATH=/bin", "ODD", "=C:=x", "X509_USER_CERTS=not ours", "LAST=a=b",
				"X509_USER_PROXY=/run/p.pem", "XrdSecGSICREATEPROXY=0", "X509_CERT_DIR=/ca"}},
	} {
		if got := Environ(start, tc.proxy); !slices.Equal(got, tc.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tc.name, got, tc.want)
		}
	}
	if !slices.Equal(start, before) {
		t.Error("the environment that was given has changed")
	}
}
