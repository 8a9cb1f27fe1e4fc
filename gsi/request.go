package gsi

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
)

// NewRequest makes a PKCS#10 request in DER for a proxy of key. Its subject is
// empty: servers go by the user's certificate and ignore it. The critical
// proxyCertInfo in it is what makes a MyProxy server issue an RFC 3820 proxy,
// and the limited kind where that is asked for (measured: myproxy-server
// 6.2.14; servers before 2009 made GSI-2 proxies without it).
func NewRequest(key crypto.Signer, limited bool) ([]byte, error) {
	language := oidInheritAll
	if limited {
		language = oidLimited
	}
	ext, err := proxyInfoExtension(language, nil)
	if err != nil {
		return nil, err
	}
	// The signature algorithm is left to the key: SHA-256 for RSA and P-256.
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		ExtraExtensions: []pkix.Extension{ext},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate request: %w", err)
	}
	return der, nil
}
