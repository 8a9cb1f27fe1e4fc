package consumer

import (
	"slices"
	"strings"
)

// Proxy is what a tool is to use.
type Proxy struct {
	File  string // the proxy, PEM
	CADir string // trust anchors; "" leaves the tool its own
}

// removed are the variables that some tool prefers to X509_USER_PROXY, or mixes
// with it. Measured with xrootd 5.5.3 and gfal2 2.21.3: the proxy of one user
// beside a stale X509_USER_CERT and X509_USER_KEY of another fails on servers
// with TLS; XrdSecGSIUSERPROXY (XRootD) and RUCIO_CLIENT_PROXY (rucio) win over
// X509_USER_PROXY.
var removed = []string{
	"X509_USER_CERT",
	"X509_USER_KEY",
	"XrdSecGSIUSERCERT",
	"XrdSecGSIUSERKEY",
	"XrdSecGSIUSERPROXY",
	"RUCIO_CLIENT_PROXY",
}

// Environ is the environment of a tool: start, in its order, with what names
// the proxy set once and what competes with it removed.
//
// XrdSecGSICREATEPROXY=0 keeps XRootD from asking for the pass phrase of
// ~/.globus/userkey.pem and making a proxy itself, with a key of 512 bits
// (measured: xrootd 5.5.3). It is harmless only while the proxy file exists:
// without one, and without ~/.globus, xrdcp 5.5.3 dies with SIGSEGV.
func Environ(start []string, p Proxy) []string {
	set := []string{"X509_USER_PROXY=" + p.File, "XrdSecGSICREATEPROXY=0"}
	if p.CADir != "" {
		set = append(set, "X509_CERT_DIR="+p.CADir)
	}
	env := slices.DeleteFunc(slices.Clone(start), func(kv string) bool {
		name := variable(kv)
		return slices.Contains(removed, name) ||
			slices.ContainsFunc(set, func(s string) bool { return variable(s) == name })
	})
	return append(env, set...)
}

func variable(kv string) string {
	name, _, _ := strings.Cut(kv, "=")
	return name
}

// lookup finds a variable as getenv(3) does: the first one counts.
func lookup(env []string, name string) (string, bool) {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value, true
		}
	}
	return "", false
}
