package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Lifetimes of the real server, measured unless said otherwise.
const (
	defaultLifetime = 12 * time.Hour // of the online CA, and what clients store as limit
	unlimited       = 100 * 365 * 24 * time.Hour
	minLifetime     = 5 * time.Minute // the least in repository mode
	skew            = 5 * time.Minute // certificates begin so long before now
)

var (
	oidKeyUsage       = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidCommonName     = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidProxyCertInfo  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 14}
	oidInheritAll     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 1}
	oidIndependent    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 2}
	oidLimited        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 1, 1, 9}
	errCannotDelegate = errors.New("this credential's signature has no digest to copy")
)

// proxyCertInfo is RFC 3820 section 3.8, without the optional parts.
type proxyCertInfo struct {
	Policy struct{ Language asn1.ObjectIdentifier }
}

func proxyExtension(language asn1.ObjectIdentifier) (pkix.Extension, error) {
	var info proxyCertInfo
	info.Policy.Language = language
	der, err := asn1.Marshal(info)
	return pkix.Extension{Id: oidProxyCertInfo, Critical: true, Value: der}, err
}

// proxyLanguage is the policy language of a certificate's or a request's
// extensions; nil if they hold no proxyCertInfo.
func proxyLanguage(extensions []pkix.Extension) (asn1.ObjectIdentifier, error) {
	for _, ext := range extensions {
		if !ext.Id.Equal(oidProxyCertInfo) {
			continue
		}
		var withLen struct {
			PathLen int
			Policy  struct {
				Language asn1.ObjectIdentifier
				Policy   []byte `asn1:"optional"`
			}
		}
		if _, err := asn1.Unmarshal(ext.Value, &withLen); err == nil {
			return withLen.Policy.Language, nil
		}
		var info struct {
			Policy struct {
				Language asn1.ObjectIdentifier
				Policy   []byte `asn1:"optional"`
			}
		}
		if _, err := asn1.Unmarshal(ext.Value, &info); err != nil {
			return nil, fmt.Errorf("proxyCertInfo: %w", err)
		}
		return info.Policy.Language, nil
	}
	return nil, nil
}

// proxyOptions is what one proxy is to be.
type proxyOptions struct {
	language   asn1.ObjectIdentifier
	now        time.Time
	lifetime   time.Duration
	extensions []pkix.Extension
	// byClient is a proxy that a client made to store it: most clients ask for
	// two key usages and copy nothing.
	byClient bool
}

// signProxy signs a proxy as the real server does: key usages copied from the
// issuer, no path length, a random serial number of 31 bits that is also the
// new CN, begun five minutes ago (even if the issuer had not), ended no later
// than the issuer, and hashed as the issuer's own certificate was, which works
// for RSA signatures only.
func signProxy(issuer *gsi.Credential, pub crypto.PublicKey, o proxyOptions) (*x509.Certificate, error) {
	cert := issuer.Chain[0]
	algorithm, err := proxyAlgorithm(cert, issuer.Key)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<31-1))
	if err != nil {
		return nil, err
	}
	serial.Add(serial, big.NewInt(1))
	subject, err := appendCN(cert.RawSubject, serial.String())
	if err != nil {
		return nil, err
	}
	extensions := usages(cert, o.byClient)
	info, err := proxyExtension(o.language)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:       serial,
		RawSubject:         subject,
		NotBefore:          o.now.Add(-skew),
		NotAfter:           o.now.Add(o.lifetime),
		SignatureAlgorithm: algorithm,
		ExtraExtensions:    append(append(extensions, info), o.extensions...),
	}
	if template.NotAfter.After(cert.NotAfter) {
		template.NotAfter = cert.NotAfter
	}
	parent := *cert
	parent.SubjectKeyId = nil              // else Go adds an authority key identifier, which these proxies do not have
	parent.PublicKey = issuer.Key.Public() // else Go refuses a key that is not the certificate's; the real server does not look
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, pub, issuer.Key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// usages are the key usages of a proxy, in the real server's order.
func usages(issuer *x509.Certificate, byClient bool) []pkix.Extension {
	if byClient {
		return []pkix.Extension{{Id: oidKeyUsage, Critical: true, Value: []byte{0x03, 0x02, 0x05, 0xa0}}} // digitalSignature, keyEncipherment
	}
	var extensions []pkix.Extension
	for _, id := range []asn1.ObjectIdentifier{oidExtKeyUsage, oidKeyUsage} {
		for _, ext := range issuer.Extensions {
			if ext.Id.Equal(id) {
				extensions = append(extensions, ext)
			}
		}
	}
	return extensions
}

// proxyAlgorithm takes the digest from the issuer's certificate and the rest
// from its key.
func proxyAlgorithm(cert *x509.Certificate, key crypto.Signer) (x509.SignatureAlgorithm, error) {
	var algorithms [2]x509.SignatureAlgorithm // RSA, ECDSA
	switch cert.SignatureAlgorithm {
	case x509.SHA1WithRSA:
		algorithms = [2]x509.SignatureAlgorithm{x509.SHA1WithRSA, x509.ECDSAWithSHA1}
	case x509.SHA256WithRSA:
		algorithms = [2]x509.SignatureAlgorithm{x509.SHA256WithRSA, x509.ECDSAWithSHA256}
	case x509.SHA384WithRSA:
		algorithms = [2]x509.SignatureAlgorithm{x509.SHA384WithRSA, x509.ECDSAWithSHA384}
	case x509.SHA512WithRSA:
		algorithms = [2]x509.SignatureAlgorithm{x509.SHA512WithRSA, x509.ECDSAWithSHA512}
	default:
		return 0, errCannotDelegate
	}
	switch key.Public().(type) {
	case *rsa.PublicKey:
		return algorithms[0], nil
	case *ecdsa.PublicKey:
		return algorithms[1], nil
	}
	return 0, errCannotDelegate
}

// appendCN adds a relative name to a DN without touching the bytes of the rest
// (RFC 3820 section 3.4: string types stay as they are).
func appendCN(rawSubject []byte, cn string) ([]byte, error) {
	var rdns []asn1.RawValue
	if _, err := asn1.Unmarshal(rawSubject, &rdns); err != nil {
		return nil, err
	}
	last, err := asn1.Marshal([]pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: cn}})
	if err != nil {
		return nil, err
	}
	last[0] = 0x31 // SET OF
	rdns = append(rdns, asn1.RawValue{FullBytes: last})
	return asn1.Marshal(rdns)
}
