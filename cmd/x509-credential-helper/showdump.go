package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// keyOf names the kind of a certificate's key and its size in bits.
func keyOf(c *x509.Certificate) (algorithm string, bits int) {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA", key.N.BitLen()
	case *ecdsa.PublicKey:
		return "ECDSA", key.Curve.Params().BitSize
	case ed25519.PublicKey:
		return "Ed25519", 8 * len(key)
	}
	return "unknown", 0
}

// usageNames are the bits of keyUsage in their order (RFC 5280 section
// 4.2.1.3), as OpenSSL writes them.
var usageNames = [...]string{
	"Digital Signature", "Non Repudiation", "Key Encipherment", "Data Encipherment", "Key Agreement",
	"Certificate Sign", "CRL Sign", "Encipher Only", "Decipher Only",
}

func keyUsages(c *x509.Certificate) string {
	var names []string
	for i, name := range usageNames {
		if c.KeyUsage&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// extensionName names the extensions that the Grid uses.
func extensionName(id asn1.ObjectIdentifier) string {
	names := map[string]string{
		"1.3.6.1.5.5.7.1.14":          "Proxy Certificate Information",
		"1.3.6.1.4.1.3536.1.222":      "Proxy Certificate Information (draft)",
		"1.3.6.1.4.1.8005.100.100.5":  "VOMS Attribute Certificates",
		"1.3.6.1.4.1.8005.100.100.10": "VOMS Certificates",
		"1.3.6.1.4.1.8005.100.100.11": "VOMS Generic Attributes",
		"1.3.6.1.5.5.7.1.1":           "Authority Information Access",
		"2.5.29.14":                   "X509v3 Subject Key Identifier",
		"2.5.29.15":                   "X509v3 Key Usage",
		"2.5.29.17":                   "X509v3 Subject Alternative Name",
		"2.5.29.18":                   "X509v3 Issuer Alternative Name",
		"2.5.29.19":                   "X509v3 Basic Constraints",
		"2.5.29.30":                   "X509v3 Name Constraints",
		"2.5.29.31":                   "X509v3 CRL Distribution Points",
		"2.5.29.32":                   "X509v3 Certificate Policies",
		"2.5.29.35":                   "X509v3 Authority Key Identifier",
		"2.5.29.37":                   "X509v3 Extended Key Usage",
	}
	if name := names[id.String()]; name != "" {
		return name
	}
	return id.String()
}

// dumpCertificate writes everything in a certificate, in the layout of openssl
// x509 -text as far as scripts look for it. name writes names.
func dumpCertificate(b *strings.Builder, c *x509.Certificate, name func(raw []byte) string) {
	const layout = "Jan _2 15:04:05 2006 GMT"
	algorithm, bits := keyOf(c)
	fmt.Fprintf(b, "Certificate:\n    Data:\n        Version: %d (0x%x)\n        Serial Number:\n            %s\n", c.Version, c.Version-1, hexPairs(c.SerialNumber.Bytes()))
	fmt.Fprintf(b, "        Signature Algorithm: %s\n        Issuer: %s\n", c.SignatureAlgorithm, name(c.RawIssuer))
	fmt.Fprintf(b, "        Validity\n            Not Before: %s\n            Not After : %s\n", c.NotBefore.UTC().Format(layout), c.NotAfter.UTC().Format(layout))
	fmt.Fprintf(b, "        Subject: %s\n        Subject Public Key Info:\n            Public Key Algorithm: %s\n", name(c.RawSubject), algorithm)
	fmt.Fprintf(b, "                Public-Key: (%d bit)\n", bits)
	dumpHex(b, "                    ", c.RawSubjectPublicKeyInfo)
	if len(c.Extensions) > 0 {
		b.WriteString("        X509v3 extensions:\n")
	}
	for _, ext := range c.Extensions {
		critical := ""
		if ext.Critical {
			critical = " critical"
		}
		fmt.Fprintf(b, "            %s:%s\n", extensionName(ext.Id), critical)
		if !explainExtension(b, c, ext.Id.String()) {
			dumpHex(b, "                ", ext.Value)
		}
	}
	fmt.Fprintf(b, "    Signature Algorithm: %s\n", c.SignatureAlgorithm)
	dumpHex(b, "        ", c.Signature)
}

// explainExtension writes the extensions whose bytes say nothing to people.
func explainExtension(b *strings.Builder, c *x509.Certificate, id string) bool {
	var text string
	switch id {
	case "2.5.29.15":
		text = keyUsages(c)
	case "2.5.29.19":
		text = "CA:" + strings.ToUpper(fmt.Sprint(c.IsCA))
		if c.MaxPathLen > 0 || c.MaxPathLenZero {
			text += fmt.Sprintf(", pathlen:%d", c.MaxPathLen)
		}
	case "1.3.6.1.5.5.7.1.14":
		// The certificate alone has no end-entity certificate; what is asked
		// here is its own.
		info, err := gsi.Inspect([]*x509.Certificate{c, {RawSubject: c.RawIssuer}})
		if err != nil {
			return false
		}
		limit := "infinite"
		if info.PathLen >= 0 {
			limit = fmt.Sprint(info.PathLen)
		}
		text = fmt.Sprintf("Path Length Constraint: %s\n                Policy: %s", limit, info.TypeText())
	default:
		return false
	}
	fmt.Fprintf(b, "                %s\n", text)
	return true
}

func dumpHex(b *strings.Builder, indent string, data []byte) {
	const perLine = 18 // as openssl
	for len(data) > 0 {
		n := min(perLine, len(data))
		b.WriteString(indent + hexPairs(data[:n]))
		if data = data[n:]; len(data) > 0 {
			b.WriteByte(':')
		}
		b.WriteByte('\n')
	}
}

// serialText writes a serial number as OpenSSL does: whole bytes in hex.
func serialText(n *big.Int) string {
	if n == nil {
		return ""
	}
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	if n.Sign() == 0 {
		return "0"
	}
	return sign + strings.ToUpper(hex.EncodeToString(n.Bytes()))
}

func hexPairs(data []byte) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i, c := range data {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}
