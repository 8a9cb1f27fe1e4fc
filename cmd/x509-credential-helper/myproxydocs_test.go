package main

import (
	"os"
	"strings"
	"testing"
)

// theirNames is every name of chapter 3.1 of MyProxyClient's documentation:
// methods, parameters, properties, class variables, exceptions.
const theirNames = `
	caCertDir changePassphrase destroy getDelegation getTrustRoots hostname info locateClientCredentials logon
	openSSLConfFilePath openSSLConfig parseConfig port proxyCertLifetime proxyCertMaxLifetime put readProxyFile serverDN
	setDefaultCACertDir ssl_verification store writeProxyFile

	cfgFilePath prop username passphrase newPassphrase sslCertFile sslKeyFile sslKeyFilePassphrase writeToCACertDir bootstrap
	enableTmpFileLoc credname lifetime keyPair certReq nBitsForKey updateTrustRoots authnGetTrustRootsCall cfg section
	userCertFile userKeyFile certFile keyFile filePath force proxyCert proxyPriKey userX509Cert

	SSL_METHOD MYPROXY_SERVER_ENVVARIABLE MYPROXY_SERVER_PORT_ENVVARIABLE MYPROXY_SERVER_DN_ENVVARIABLE
	GLOBUS_LOCATION_ENVVARIABLE GET_CMD INFO_CMD DESTROY_CMD CHANGE_PASSPHRASE_CMD STORE_CMD GET_TRUST_ROOTS_CMD
	TRUSTED_CERTS_FIELDNAME TRUSTED_CERTS_FILEDATA_FIELDNAME_PREFIX HOSTCERT_SUBDIRPATH HOSTKEY_SUBDIRPATH PRIKEY_NBITS
	MESSAGE_DIGEST_TYPE SERVER_RESP_BLK_SIZE MAX_RECV_TRIES DEF_PROXY_FILEPATH PROXY_FILE_PERMISSIONS PROPERTY_DEFAULTS
	ROOT_USERNAME ROOT_TRUSTROOT_DIR USER_TRUSTROOT_DIR X509_CERT_DIR_ENVVARIABLE X509_USER_PROXY_ENVVARIABLE

	MyProxyClientConfigError MyProxyClientGetError MyProxyClientRetrieveError MyProxyCredentialsAlreadyExist
	MyProxyClientGetTrustRootsError NotImplementedError`

// rows are the lines of the tables of docs/myproxy.md, by what stands in their
// first cell.
func rows(t *testing.T) (first []string, text string) {
	t.Helper()
	data, err := os.ReadFile("../../docs/myproxy.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| ") && len(cells) > 1 {
			first = append(first, cells[0])
		}
	}
	return first, string(data)
}

func mentions(list []string, name string) bool {
	for _, cell := range list {
		for _, code := range strings.Split(cell, "`") {
			for _, word := range strings.FieldsFunc(code, func(r rune) bool { return strings.ContainsRune(" ,()=*", r) }) {
				if word == name {
					return true
				}
			}
		}
	}
	return false
}

// TestMigrationTables: whoever looks for a name of MyProxyClient, or for an option
// of one of the programs, finds a row that says what became of it; and whoever
// reads of an option of ours finds one that there is.
func TestMigrationTables(t *testing.T) {
	first, text := rows(t)
	for _, name := range strings.Fields(theirNames) {
		if !mentions(first, name) {
			t.Errorf("docs/myproxy.md has no row for %s", name)
		}
	}
	for _, n := range mpNames {
		if !strings.Contains(text, "`"+n.name) {
			t.Errorf("docs/myproxy.md does not name %s", n.name)
		}
		for _, o := range helpOf(t, n.name) {
			if !mentions(first, "--"+o.long) || !mentions(first, "-"+o.letter) {
				t.Errorf("docs/myproxy.md has no row for -%s --%s of %s", o.letter, o.long, n.name)
			}
		}
	}
	known := map[string]bool{}
	for _, c := range mpCommands() {
		for _, o := range c.options {
			known[o.name] = true
			for _, also := range strings.Fields(o.also) {
				known[also] = true
			}
		}
	}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" `,|\n;:()=", r) }) {
		if option, ok := strings.CutPrefix(word, "--"); ok && !known[strings.ReplaceAll(option, "_", "-")] && strings.Trim(option, "-") != "" {
			t.Errorf("docs/myproxy.md names --%s, which is no option", option)
		}
	}
}
