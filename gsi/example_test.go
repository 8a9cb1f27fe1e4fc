package gsi_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// A service is shown a chain. Whose it is and which attributes it carries count
// once chain, CA and attributes have been verified.
func ExampleTrustDir_VerifyVOMS() {
	grid := newGrid()
	defer grid.remove()
	identify := func(chain []*x509.Certificate, now time.Time) (*gsi.Info, error) {
		if err := gsi.VerifyChain(chain, gsi.VerifyOptions{Now: now}); err != nil {
			return nil, err
		}
		trust, err := gsi.OpenTrustDir(grid.certificates)
		if err != nil {
			return nil, err
		}
		if err := trust.Verify(chain, now, gsi.TrustOptions{}); err != nil {
			return nil, err
		}
		servers, err := voms.OpenDir(grid.vomsdir)
		if err != nil {
			return nil, err
		}
		if err := trust.VerifyVOMS(chain, servers, now, gsi.TrustOptions{}); err != nil {
			return nil, err
		}
		return gsi.Inspect(chain)
	}

	info, err := identify(grid.proxy.Chain, grid.now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Identity, info.VOMS[0].FQANs)

	_, err = identify(grid.proxy.Chain, grid.now.Add(2*time.Hour)) // the attributes were for one
	var refused *voms.VerifyError
	fmt.Println(errors.As(err, &refused) && refused.Reason == voms.ReasonExpired)
	// Output:
	// /O=Lab/CN=Jane Doe [/labvo /labvo/Role=production]
	// true
}

// A user hands a limited proxy to a service, which keeps its key to itself and
// sends a request.
func ExampleDelegate() {
	grid := newGrid()
	defer grid.remove()

	// At the service:
	key, err := gsi.GenerateKey(context.Background(), gsi.KeyRSA2048)
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := gsi.NewRequest(key, false)
	if err != nil {
		fmt.Println(err)
		return
	}

	// At the user's side, where the key is encrypted:
	file, err := grid.user.EncryptedPEM([]byte("pass phrase"))
	if err != nil {
		fmt.Println(err)
		return
	}
	user, err := gsi.ParseCredentialWith(file, gsi.ParseOptions{Passphrase: []byte("pass phrase")})
	if err != nil {
		fmt.Println(err)
		return
	}
	chain, err := gsi.Delegate(user, request, gsi.IssueOptions{Rights: gsi.RightsLimited, Now: grid.now, Lifetime: 12 * time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}

	// At the service, which believes nobody:
	cred := &gsi.Credential{Chain: chain, Key: key}
	if err := cred.Verify(gsi.VerifyOptions{Now: grid.now}); err != nil {
		fmt.Println(err)
		return
	}
	info, err := gsi.Inspect(cred.Chain)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.TypeText(), "of", info.Identity)
	// Output: RFC 3820 compliant limited proxy of /O=Lab/CN=Jane Doe
}

// exampleGrid is a CA with a user, and a VOMS server with attributes for her.
type exampleGrid struct {
	now                        time.Time
	dir, certificates, vomsdir string
	user, proxy                *gsi.Credential
}

func (g *exampleGrid) remove() { os.RemoveAll(g.dir) }

func newGrid() *exampleGrid {
	g := &exampleGrid{now: time.Now(), dir: must(os.MkdirTemp("", "example"))}
	ca := g.certificate(nil, "CA")
	g.user = g.certificate(ca, "Jane Doe")
	server := g.certificate(ca, "voms.example.org")
	attributes := must(voms.Sign(voms.SignOptions{
		Issuer: server.Leaf(), Key: server.Key, Holder: g.user.Leaf(),
		VO: "labvo", Host: "voms.example.org:15000", FQANs: []string{"/labvo", "/labvo/Role=production"},
		NotBefore: g.now.Add(-time.Minute), NotAfter: g.now.Add(time.Hour),
	}))
	g.proxy = must(g.user.Derive(newKey(), gsi.IssueOptions{Now: g.now, Lifetime: 12 * time.Hour, Extensions: []pkix.Extension{attributes}}))

	g.certificates, g.vomsdir = filepath.Join(g.dir, "certificates"), filepath.Join(g.dir, "vomsdir")
	hash := must(gsi.SubjectHash(ca.Leaf().RawSubject))
	g.write("certificates/"+hash+".0", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Leaf().Raw})))
	g.write("certificates/"+hash+".signing_policy", "access_id_CA X509 '/O=Lab/CN=CA'\npos_rights globus CA:sign\ncond_subjects globus '\"/O=Lab/*\"'\n")
	g.write("vomsdir/labvo/voms.example.org.lsc", "/O=Lab/CN=voms.example.org\n/O=Lab/CN=CA\n")
	return g
}

func (g *exampleGrid) certificate(ca *gsi.Credential, cn string) *gsi.Credential {
	key := newKey()
	c := &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"Lab"}, CommonName: cn}, SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))),
		NotBefore: g.now.Add(-time.Hour), NotAfter: g.now.Add(24 * time.Hour),
		BasicConstraintsValid: true, IsCA: ca == nil, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	issuer, signer := c, key
	if ca == nil {
		c.KeyUsage = x509.KeyUsageCertSign
	} else {
		issuer, signer = ca.Leaf(), ca.Key
	}
	der := must(x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), signer))
	return &gsi.Credential{Chain: []*x509.Certificate{must(x509.ParseCertificate(der))}, Key: key}
}

func (g *exampleGrid) write(name, text string) {
	path := filepath.Join(g.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		panic(err)
	}
}

func newKey() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
