package main

import (
	"crypto/x509"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// scriptProxies writes the samples into the directory of the script, and the
// directories of trusted CAs and VOMS servers that they belong to.
func scriptProxies(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: proxies")
	}
	t := ts.Value(worldKey{}).(*world).t
	g := newProxyLab(t, time.Now().Truncate(time.Second))
	for name, data := range samples(g) {
		write(t, ts.MkAbs(name), data, 0o600)
	}
	user := &gsi.Credential{Chain: []*x509.Certificate{g.user.cert}, Key: g.user.key}
	encrypted, err := user.EncryptedPEM([]byte(passphrase))
	ts.Check(err)
	write(t, ts.MkAbs("encrypted"), encrypted, 0o600)
	write(t, ts.MkAbs("der"), g.user.cert.Raw, 0o600)
	certificates, vomsdir := g.trustDir(ts.MkAbs("."))
	ts.Setenv("X509_CERT_DIR", certificates)
	ts.Setenv("X509_VOMS_DIR", vomsdir)
	ts.Check(os.Chmod(ts.MkAbs("wrongkey"), 0o640))
}

// scriptSchema holds the last standard output against a schema.
func scriptSchema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: schema NAME")
	}
	ts.Check(conforms(ts.Value(worldKey{}).(*world).t, args[0], []byte(ts.ReadFile("stdout"))))
}
