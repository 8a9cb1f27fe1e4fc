package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// mpOption is an option of a myproxy command. Its name is ours; letter and also
// are what the C programs and MyProxyClient's script write, which every name
// takes, with '_' for '-' as well.
type mpOption struct {
	name   string
	letter byte   // 0: none
	also   string // more long names, with blanks between
	value  string // what stands for the value in the help; "" is a switch
	list   bool   // may be repeated
	usage  string
	// pattern: the value is a common name, or after -x a pattern of whole DNs.
	pattern bool
	// refused says why the option is not taken.
	refused string
}

// has says whether a long name, with '-' for '_', is the option's.
func (o *mpOption) has(long string) bool {
	return o.name == long || slices.Contains(strings.Fields(o.also), long)
}

// flag describes the option to urfave/cli, which knows it by our name only.
func (o *mpOption) flag() cli.Flag {
	var letter []string
	if o.letter != 0 {
		letter = []string{string(o.letter)}
	}
	usage := "`" + o.value + "`\t" + o.usage
	switch {
	case o.value == "":
		return &cli.BoolFlag{Name: o.name, Aliases: letter, Usage: o.usage}
	case o.list:
		return &cli.StringSliceFlag{Name: o.name, Aliases: letter, Usage: usage}
	}
	return &cli.StringFlag{Name: o.name, Aliases: letter, Usage: usage}
}

// The options of several commands.
var (
	mpHelp = []mpOption{
		{name: "help", letter: 'h', usage: "this"},
		{name: "usage", letter: 'u', usage: "the same"},
		{name: "version", letter: 'V', usage: "which build this is"},
		{name: "verbose", letter: 'v', usage: "say which server, identity and trust directory are used"},
		{name: "json", usage: "answer with one JSON object, also for an error"},
	}
	mpServer = []mpOption{
		{name: "server", letter: 's', also: "pshost", value: "HOST[:PORT]", usage: "the server, or several with commas between; default MYPROXY_SERVER"},
		{name: "port", letter: 'p', also: "psport", value: "PORT", usage: "where HOST has none; default MYPROXY_SERVER_PORT, else 7512"},
		{name: "server-dn", value: "DN", usage: "the server's whole subject, in place of its host name; default MYPROXY_SERVER_DN"},
	}
	mpSettings = []mpOption{
		{name: "profile", value: "PROFILE", usage: "what a profile of config.toml says, and its pass phrase in the keyring"},
		{name: "config", value: "FILE[#SECTION]", usage: "what a configuration file of MyProxyClient says"},
		{name: "print-profile", usage: "only write what --config has as a profile for config.toml"},
	}
	mpUser = []mpOption{
		{name: "username", letter: 'l', value: "USER", usage: "the name at the server; default LOGNAME"},
		{name: "dn-as-username", letter: 'd', usage: "the subject of the certificate is the name, without -l"},
		{name: "credential-name", letter: 'k', also: "credname", value: "NAME", usage: "one of several credentials of the user"},
	}
	mpTLS = []mpOption{
		{name: "tls-cert", value: "FILE", usage: "the client certificate; a proxy file has its key, too"},
		{name: "tls-key", value: "FILE", usage: "its key, if that is elsewhere"},
	}
	mpAnonymous = mpOption{name: "anonymous", usage: "show no client certificate, whatever lies there"}
	mpQuiet     = mpOption{name: "quiet", letter: 'q', usage: "say nothing unless it fails"}
	mpStdin     = mpOption{name: "stdin-pass", letter: 'S', usage: "read pass phrases from standard input, one a line, in place of asking"}
	mpTrustDir  = mpOption{name: "cadir", value: "DIR", usage: "the trust directory; default X509_CERT_DIR, else /etc/grid-security/certificates for root, ~/.globus/certificates for others"}
	mpPrint     = mpOption{name: "fingerprint", value: "sha256:HEX", usage: "with -b: the server's certificate, or its CA's, in place of asking"}
	mpBootstrap = mpOption{name: "bootstrap", letter: 'b', usage: "fetch the trust roots of a server that cannot be verified yet, show its fingerprint and ask"}
	mpTrust     = mpOption{name: "trustroots", letter: 'T', usage: "renew the trust roots as well"}

	mpCert = mpOption{name: "certfile", value: "FILE", usage: "the certificate"}
	mpKey  = mpOption{name: "keyfile", letter: 'y', value: "FILE", usage: "its private key"}

	mpPolicies = []mpOption{
		{name: "retrievable-by", letter: 'r', value: "NAME", pattern: true, usage: "who may fetch a proxy by pass phrase: a common name, or after -x a pattern of DNs"},
		{name: "allow-anonymous-retrievers", letter: 'a', usage: "anybody may, by pass phrase"},
		{name: "renewable-by", letter: 'R', value: "NAME", pattern: true, usage: "who may fetch a new proxy for one that is still valid"},
		{name: "allow-anonymous-renewers", letter: 'A', usage: "anybody may: whoever steals a proxy can renew it until the stored credential ends"},
		{name: "retrievable-by-cert", letter: 'Z', value: "NAME", pattern: true, usage: "who may fetch a proxy without a pass phrase"},
		{name: optionPattern, letter: 'x', usage: "policies after it are patterns of whole DNs, \"*\" for any text"},
		{name: optionCommon, letter: 'X', usage: "policies after it are common names again, as at first"},
	}
	mpStored = []mpOption{
		{name: "description", letter: 'K', also: "creddesc", value: "TEXT", usage: "what the credential is for"},
		{name: "max-lifetime", letter: 't', also: "proxy-lifetime", value: "HOURS", usage: "how long proxies out of it may live at most (default 12)"},
	}
)

// The two options that only change what others mean.
const (
	optionPattern = "regex-dn-match"
	optionCommon  = "match-cn-only"
)

// with gives an option the letter that it has in one program.
func (o mpOption) with(letter byte) mpOption {
	o.letter = letter
	return o
}

// The options of each command, in the order of its help.

func logonOptions() []mpOption {
	return slices.Concat(mpServer, mpUser, []mpOption{
		{name: "lifetime", letter: 't', also: "proxy-lifetime", value: "HOURS", usage: "how long the proxy shall live (default 12); 90m is taken, too"},
		{name: "out", letter: 'o', value: "FILE", usage: "where the proxy goes, - is standard output; default X509_USER_PROXY, else /tmp/x509up_u and your user number"},
		{name: "voms", letter: 'm', value: "VO[:FQAN]", list: true, usage: "with attributes of this VO; may be repeated"},
		{name: "limited", usage: "a limited proxy"},
		{name: "bits", value: "N", usage: "an RSA key of 2048, 3072 or 4096 bits (default MYPROXY_KEYBITS, else 2048)"},
		{name: "key", value: "TYPE", usage: "another kind of key, rsa4096 or p256"},
		{name: "certreq", letter: 'Q', value: "FILE", usage: "certify this PKCS#10 request, - is standard input; no key is written"},
		{name: "authorization", letter: 'a', value: "FILE", usage: "renew this proxy, which must still be valid; no pass phrase is asked for"},
		{name: "no-passphrase", letter: 'n', usage: "without a pass phrase: the client certificate must do"},
		{name: "no-credentials", letter: 'N', usage: "only find out whether the pass phrase is accepted"},
		mpStdin, mpTrust, mpBootstrap, mpPrint, mpTrustDir.with('C'), mpAnonymous,
	}, mpTLS, mpSettings, []mpOption{
		mpQuiet,
		{name: "error-trace", letter: 'e', usage: "show the causes of an error, too"},
	}, mpHelp)
}

func putOptions() []mpOption {
	return slices.Concat(mpServer, mpUser, mpStored, []mpOption{
		{name: "cred-lifetime", letter: 'c', value: "HOURS", usage: "how long the stored proxy lives (default 168); 0 is as long as the certificate"},
		mpCert.with('C'), mpKey,
		{name: "no-passphrase", letter: 'n', usage: "store it without a pass phrase, for renewers and trusted retrievers; -R, -A and -Z imply it"},
		{name: "limited", usage: "a limited proxy"},
		{name: "local-proxy", letter: 'L', usage: "also write a proxy for use here, as logon does"},
		{name: "voms", letter: 'm', value: "VO", list: true, refused: "the proxy that is stored here has no VOMS attributes: make one with voms-proxy-init, and put it with -C"},
		mpStdin,
	}, mpPolicies, []mpOption{mpTrustDir}, mpTLS, mpSettings, []mpOption{mpQuiet.with(0)}, mpHelp)
}

func storeOptions() []mpOption {
	return slices.Concat(mpServer, mpUser, mpStored, []mpOption{
		mpCert.with('c'), mpKey,
		{name: "no-overwrite", usage: "not if something of that user and name is stored already"},
		mpStdin,
	}, mpPolicies[:len(mpPolicies)-2], []mpOption{
		{name: "retrieve-key", letter: 'E', value: "NAME", pattern: true, usage: "who may fetch the key itself"},
	}, mpPolicies[len(mpPolicies)-2:], []mpOption{mpTrustDir}, mpTLS, mpSettings, []mpOption{mpQuiet.with(0)}, mpHelp)
}

func retrieveOptions() []mpOption {
	return slices.Concat(mpServer, mpUser, []mpOption{
		mpCert.with('c'), mpKey,
		{name: "out", letter: 'o', value: "FILE", usage: "both into one file, - is standard output"},
		{name: "authorization", letter: 'a', value: "FILE", refused: "a key is given out by pass phrase or to a key retriever; proxies are what is renewed, by logon -a"},
		{name: "no-passphrase", letter: 'n', usage: "without a pass phrase: the client certificate must do"},
		mpStdin, mpTrust, mpTrustDir, mpAnonymous,
	}, mpTLS, mpSettings, []mpOption{mpQuiet}, mpHelp)
}

func ownerOptions() []mpOption {
	return slices.Concat(mpServer, mpUser, []mpOption{mpTrustDir}, mpTLS, mpSettings, mpHelp)
}

func changeOptions() []mpOption {
	return slices.Concat(mpServer, mpUser, []mpOption{mpStdin, mpTrustDir}, mpTLS, mpSettings, mpHelp)
}

func trustrootsOptions() []mpOption {
	return slices.Concat(mpServer, []mpOption{
		mpBootstrap, mpPrint, mpTrustDir,
		{name: "yes", usage: "install CAs that are new here without asking"},
		{name: "username", letter: 'l', value: "USER", usage: "for the few servers that ask who you are; with -S"},
		mpStdin,
	}, mpSettings, []mpOption{mpQuiet}, mpHelp)
}
