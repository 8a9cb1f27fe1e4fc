package myproxy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// TestRealProxyFiles: what myproxy-logon writes we read, and what we write of a
// delegation as it is Globus's and VOMS's programs read.
func TestRealProxyFiles(t *testing.T) {
	lab.Require(t, lab.MyProxyServer, lab.MyProxyClient, lab.GridTools)
	m := lab.StartMyProxy(t, lab.MyProxyOptions{})
	alice := m.CA.User("Alice")
	m.Store("alice", canary, alice)

	theirs, err := m.Logon("alice", canary)
	must(t, err)
	cred, err := ReadProxyFile(file(t, t.TempDir(), "theirs", theirs, 0o600))
	must(t, err)
	must(t, cred.Verify(gsi.VerifyOptions{Now: time.Now()}))

	got, err := realClient(m).GetDelegation(t.Context(), DelegationRequest{LogonRequest: LogonRequest{Username: "alice", Passphrase: []byte(canary)}})
	must(t, err)
	ours := filepath.Join(t.TempDir(), "ours")
	must(t, WriteProxyFile(ours, got.Credential))
	data, err := os.ReadFile(ours)
	must(t, err)
	if a, b := strings.ReplaceAll(blockTypes(data), "RSA ", ""), strings.ReplaceAll(blockTypes(theirs), "RSA ", ""); a != b {
		t.Errorf("ours holds %s, theirs %s", a, b)
	}
	for _, tool := range [][]string{{"grid-proxy-info", "-f", ours, "-identity"}, {"voms-proxy-info", "-file", ours, "-identity"}} {
		out, err := exec.Command(tool[0], tool[1:]...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != alice.DN() {
			t.Errorf("%s: %v, %q", tool[0], err, out)
		}
	}
}
