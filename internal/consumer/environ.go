package consumer

import (
	"slices"
	"strings"
)

// Proxy is what a tool is to use.
type Proxy struct {
	File    string // the proxy, PEM
	CADir   string // trust anchors; "" leaves the tool its own
	VOMSDir string // those of VOMS servers; "" leaves the tool its own
	Anchors string // where trust anchors are, for tools that do not look for them; "": not known
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

// Changes are what a tool's environment needs, as Environ makes it: variables to
// set, in "NAME=value" form, and names to remove.
//
// XrdSecGSICREATEPROXY is no part of them, because it is harmless only while the
// proxy file exists, and whoever asks for the changes may live longer: without a
// file, and without ~/.globus, xrdcp 5.5.3 dies with SIGSEGV (measured).
func Changes(p Proxy) (set, unset []string) {
	set = []string{"X509_USER_PROXY=" + p.File}
	unset = slices.Clone(removed)
	if p.CADir != "" {
		set = append(set, "X509_CERT_DIR="+p.CADir)
		unset = append(unset, "XrdSecGSICADIR") // XRootD prefers it
	}
	if p.VOMSDir != "" {
		set = append(set, "X509_VOMS_DIR="+p.VOMSDir)
	}
	return set, unset
}

// Environ is the environment of a tool: start, in its order, with what names
// the proxy set once and what competes with it removed.
//
// XrdSecGSICREATEPROXY=0 keeps XRootD from asking for the pass phrase of
// ~/.globus/userkey.pem and making a proxy itself, with a key of 512 bits
// (measured: xrootd 5.5.3).
func Environ(start []string, p Proxy) []string {
	set, unset := Changes(p)
	set = slices.Insert(set, 1, "XrdSecGSICREATEPROXY=0")
	env := slices.DeleteFunc(slices.Clone(start), func(kv string) bool {
		name := variable(kv)
		return slices.Contains(unset, name) ||
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
