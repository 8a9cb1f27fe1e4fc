package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// ask is a request; extra are whole lines.
func ask(command int, user, passphrase string, lifetime int, extra ...string) string {
	return fmt.Sprintf("VERSION=MYPROXYv2\nCOMMAND=%d\nUSERNAME=%s\nPASSPHRASE=%s\nLIFETIME=%d\n%s\x00",
		command, user, passphrase, lifetime, strings.Join(extra, ""))
}

// counted is a message of certificates.
func counted(chain []*x509.Certificate) []byte {
	message := []byte{byte(len(chain))}
	for _, cert := range chain {
		message = append(message, cert.Raw...)
	}
	return message
}

// renewalMessage answers a challenge.
func renewalMessage(t testing.TB, c *gsi.Credential, method byte, challenge string) []byte {
	t.Helper()
	digest, hash := sha256.Sum256([]byte(challenge)), crypto.SHA256
	sum := digest[:]
	if method == methodSHA1 {
		older := sha1.Sum([]byte(challenge))
		sum, hash = older[:], crypto.SHA1
	}
	var signature []byte
	var err error
	switch key := c.Key.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, key, hash, sum)
	case *ecdsa.PrivateKey:
		signature, err = ecdsa.SignASN1(rand.Reader, key, sum)
	}
	if err != nil {
		t.Fatal(err)
	}
	message := []byte{method, 0, 0, 0}
	message = binary.BigEndian.AppendUint32(message, uint32(len(signature)))
	return slices.Concat(message, signature, counted(c.Chain))
}

// storedForm is what STORE sends: certificates, then the key.
func storedForm(t testing.TB, c *gsi.Credential, passphrase string) []byte {
	t.Helper()
	block, err := keyBlock(c.Key)
	if err == nil && passphrase != "" {
		err = encryptBlock(block, passphrase)
	}
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, cert := range c.Chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return append(append(text, pem.EncodeToMemory(block)...), 0)
}
