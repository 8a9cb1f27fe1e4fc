package myproxy

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// Of what was stored a delegation uses the first certificate and those that come
// behind the key. A chain must come back whole, whatever the order of the files.
func TestRealStoredChains(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	ca := lab.NewCA(t, "X509CH Lab")
	m := lab.StartMyProxy(t, lab.MyProxyOptions{CA: ca})
	alice := (*gsi.Credential)(ca.User("alice"))
	proxy, err := alice.Derive(newRSAKey(t), gsi.IssueOptions{Now: time.Now(), Lifetime: 24 * time.Hour})
	must(t, err)
	for name, tc := range map[string]struct {
		cred  *gsi.Credential
		depth int
	}{
		"proxy":           {proxy, 2},
		"intermediate CA": {belowIntermediate(t, ca, m), 1},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := tc.cred.TraditionalPEM([]byte(canary)) // certificates, then the key
			must(t, err)
			c := realClient(m)
			user := fmt.Sprint("chain", tc.depth)
			_, err = c.Store(t.Context(), StoreRequest{Username: user, Passphrase: []byte(canary), Certificate: text, Key: text, Policy: Policy{KeyRetriever: "*"}})
			must(t, err)
			got, err := logonAs(t.Context(), c, LogonRequest{Username: user, Passphrase: []byte(canary)})
			must(t, err)
			if got.Info.Depth != tc.depth || len(got.Chain) != 3 {
				t.Errorf("%d levels, %d certificates", got.Info.Depth, len(got.Chain))
			}
			back, err := c.Retrieve(t.Context(), RetrieveRequest{Username: user, Passphrase: []byte(canary)})
			must(t, err)
			if len(back.Certificates) != 2 || !back.Certificates[0].Equal(tc.cred.Leaf()) {
				t.Errorf("%d certificates came back", len(back.Certificates))
			}
		})
	}
}

// belowIntermediate is a user of a CA that is below the server's. Its policy is
// in both trust directories, its certificate in none.
func belowIntermediate(t *testing.T, ca *lab.CA, m *lab.MyProxy) *gsi.Credential {
	t.Helper()
	key := newRSAKey(t)
	name := func(cn string) pkix.Name {
		return pkix.Name{Country: []string{"XX"}, Organization: []string{"X509CH Lab"}, CommonName: cn}
	}
	between := ca.Sign(&x509.Certificate{
		Subject: name("Intermediate CA"), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, key.Public())
	policy := "access_id_CA X509 '/C=XX/O=X509CH Lab/CN=Intermediate CA'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/O=X509CH Lab/*\"'\n"
	hash, err := gsi.SubjectHash(between.RawSubject)
	must(t, err)
	for _, dir := range []string{m.CertDir, m.TrustDir} {
		for _, stem := range []string{hash, gsi.SubjectHashOld(between.RawSubject)} {
			must(t, os.WriteFile(filepath.Join(dir, stem+".signing_policy"), []byte(policy), 0o644))
		}
	}
	user := newRSAKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(11), Subject: name("carol"), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}, between, user.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &gsi.Credential{Chain: []*x509.Certificate{cert, between}, Key: user}
}
