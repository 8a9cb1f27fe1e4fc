package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// TestMyproxyScripts runs testdata/myproxy: every command as people and scripts
// type it, against a sandbox in which jane has a credential. Each script finds
//
//	usercert.pem, userkey.pem   her certificate and key
//	locked.pem                  the same key, encrypted with her pass phrase
//	other.pem                   bob, certificate and key in one file; carol has something, too
//	stray.pem                   somebody whose CA the server does not know
//	own.csr                     a certificate request for a P-256 key
//	phrase, wrong, new, change  lines for -S: hers, another, a new one, hers and a new one
//	back, three                 the new one and hers; the same after hers for the key
//
// and MYPROXY_SERVER, X509_CERT_DIR and LOGNAME are set; FINGERPRINT is that of
// the server's CA.
func TestMyproxyScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/myproxy",
		UpdateScripts: os.Getenv("UPDATE_GOLDEN") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"connections": scriptConnections, "exits": scriptExits, "onejson": scriptOneJSON,
			"schema": scriptSchema, "requests": scriptRequests,
		},
		Setup: func(e *testscript.Env) error {
			w := &world{t: t, dir: e.WorkDir}
			w.server = startSandbox(t, w.path("sandbox"))
			w.configure(inMemory)
			e.Values[worldKey{}] = w
			e.Defer(w.server.Close)
			for name, value := range map[string]string{
				"HOME": e.WorkDir, "LANG": "C.UTF-8", "LOGNAME": jane,
				"FINGERPRINT":    fingerprint(w.server.CACertificate()),
				"MYPROXY_SERVER": w.server.Addr(), "X509_CERT_DIR": w.server.TrustDir(),
				"X509_CREDENTIAL_HELPER_CONFIG": w.path("config.toml"), kernelVar: kernelName(t),
				"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent/bus",
			} {
				e.Setenv(name, value)
			}
			e.Setenv("PATH", w.path("names")+string(filepath.ListSeparator)+e.Getenv("PATH"))
			return errors.Join(os.Chmod(e.WorkDir, 0o700), w.writeMyproxyFiles(), w.writePhrases(), w.linkNames())
		},
	})
}

func fingerprint(c *x509.Certificate) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(c.Raw))
}

// newPassphrase is what jane's becomes. It is looked for, too, where no pass
// phrase may be.
const newPassphrase = "canary 4712 new pass phrase"

func (w *world) writeMyproxyFiles() error {
	for _, user := range []sandbox.User{
		{Name: "bob", Passphrase: passphrase, CommonName: "Bob"}, {Name: "carol", Passphrase: passphrase, CommonName: "Carol"},
	} {
		if err := w.server.AddUser(user); err != nil {
			return err
		}
	}
	janes, bobs := w.server.Credential(jane, ""), w.server.Credential("bob", "")
	plain, err := janes.PEM()
	if err != nil {
		return err
	}
	locked, err := janes.EncryptedPEM([]byte(passphrase))
	if err != nil {
		return err
	}
	other, err := bobs.PEM()
	if err != nil {
		return err
	}
	cert, err := pemOf(&gsi.Credential{Chain: janes.Chain})
	if err != nil {
		return err
	}
	request, stray, err := requestAndStray()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"own.csr": request, "stray.pem": stray,
		"usercert.pem": cert, "userkey.pem": keyBlock(plain), "locked.pem": keyBlock(locked), "other.pem": other,
	} {
		err = errors.Join(err, os.WriteFile(w.path(name), data, 0o600))
	}
	return err
}

// requestAndStray are a certificate request, and a certificate that its own key
// has signed.
func requestAndStray() (request, stray []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := gsi.NewRequest(key, false)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Stray"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	stray = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), stray, err
}

func (w *world) writePhrases() (err error) {
	for name, text := range map[string]string{
		"phrase": passphrase + "\n", "wrong": "quite wrong\n", "new": newPassphrase + "\n",
		"change": passphrase + "\n" + newPassphrase + "\n", "undo": newPassphrase + "\n" + passphrase + "\n",
		"three": passphrase + "\n" + newPassphrase + "\n" + passphrase + "\n", // the first is of the key
	} {
		err = errors.Join(err, os.WriteFile(w.path(name), []byte(text), 0o600))
	}
	return err
}

// linkNames makes this program the ones that it stands in for.
func (w *world) linkNames() error {
	program, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	err = os.Mkdir(w.path("names"), 0o700)
	for _, n := range mpNames {
		err = errors.Join(err, os.Symlink(program, filepath.Join(w.path("names"), n.name)))
	}
	return err
}

// keyBlock is the private key of a PEM text.
func keyBlock(text []byte) []byte {
	for {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" {
			return pem.EncodeToMemory(block)
		}
		text = rest
	}
}

// scriptRequests checks how many requests of a command the server has parsed.
func scriptRequests(ts *testscript.TestScript, neg bool, args []string) {
	commands := map[string]int{"get": 0, "put": 1, "info": 2, "destroy": 3, "change": 4, "store": 5, "retrieve": 6, "trustroots": 7}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: requests COMMAND NUMBER")
	}
	if got := ts.Value(worldKey{}).(*world).server.Requests(commands[args[0]]); args[1] != strconv.Itoa(got) {
		ts.Fatalf("%d requests %s, expected %s", got, args[0], args[1])
	}
}

// asMyproxyUser gives a world what the myproxy commands look for.
func (w *world) asMyproxyUser(env ...string) {
	w.t.Helper()
	if err := w.writeMyproxyFiles(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.linkNames(); err != nil {
		w.t.Fatal(err)
	}
	w.env = append(w.env, "MYPROXY_SERVER="+w.server.Addr(), "X509_CERT_DIR="+w.server.TrustDir(), "LOGNAME="+jane)
	w.env = append(w.env, env...)
}

// filesOf are the files of a CA in a trust directory.
func filesOf(t *testing.T, dir string, ca *x509.Certificate) (names []string) {
	t.Helper()
	hash, err := gsi.SubjectHash(ca.RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), hash+".") || strings.HasPrefix(e.Name(), gsi.SubjectHashOld(ca.RawSubject)+".") {
			names = append(names, e.Name())
		}
	}
	return names
}
