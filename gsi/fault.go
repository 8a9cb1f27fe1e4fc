package gsi

import "crypto/x509"

// Fault is what is wrong with a chain, one value for each rule.
type Fault string

// The faults, each with the rule that it breaks.
const (
	FaultWrongKey        Fault = "wrong_key"                  // the private key is not the first certificate's
	FaultSignature       Fault = "signature"                  // not signed by the next certificate
	FaultIssuer          Fault = "issuer"                     // the next certificate is not the issuer's (RFC 3820 section 3.1)
	FaultIncompleteChain Fault = "incomplete_chain"           // no end-entity certificate
	FaultTooLong         Fault = "too_long"                   // more than MaxCertificates
	FaultExpired         Fault = "expired"                    // at least one certificate has
	FaultNotYetValid     Fault = "not_yet_valid"              // at least one certificate's time has not come
	FaultOutlives        Fault = "outlives_issuer"            // a proxy that ends after its issuer; only with RefuseOutliving, and in Examine
	FaultRequest         Fault = "request"                    // a certificate request that is malformed or too big
	FaultNotProxy        Fault = "not_a_proxy"                // issued like a proxy, by a user or a proxy, but without proxyCertInfo (RFC 3820 section 3.8)
	FaultLegacy          Fault = "legacy_proxy"               // GSI-2 or draft; TLS servers refuse them (measured: davs with OpenSSL 3)
	FaultProxyInfo       Fault = "proxy_cert_info"            // malformed, or a policy language nobody knows (RFC 3820 section 3.8)
	FaultNotCritical     Fault = "not_critical"               // proxyCertInfo is not critical (RFC 3820 section 3.8)
	FaultSubject         Fault = "subject"                    // subject is not the issuer's and one CN more (RFC 3820 section 3.4)
	FaultKeyUsage        Fault = "key_usage"                  // no digitalSignature (RFC 3820 section 3.6), or a CA's without keyCertSign
	FaultSAN             Fault = "subject_alternative_name"   // a proxy with an alternative name (RFC 3820 sections 3.2 and 3.5)
	FaultCA              Fault = "ca"                         // a CA where none may be, or none where one must be (RFC 3820 section 3.7)
	FaultPathLength      Fault = "path_length"                // more proxies, or CAs, than allowed (RFC 3820 section 3.8.1)
	FaultMixedTypes      Fault = "mixed_types"                // proxies of different kinds in one chain
	FaultLimitedLost     Fault = "limited_lost"               // full proxy below a limited one
	FaultWeakKey         Fault = "weak_key"                   // RSA below 2048 bits, DSA, unknown
	FaultSHA1            Fault = "sha1"                       // signed with SHA-1 or worse
	FaultUnknownCritical Fault = "unknown_critical_extension" // RFC 5280 section 4.2
)

// ChainError is a rule that a chain, a certificate request or a key breaks.
type ChainError struct {
	Fault   Fault
	Depth   int    // of the certificate in the chain, 0 is the leaf
	Subject string // of that certificate, one-line form, at most 1000 bytes; empty where there is none
	Detail  string // a sentence without its end
}

// Error implements error.
func (e *ChainError) Error() string {
	if e.Subject == "" {
		return e.Detail
	}
	return e.Detail + ": " + e.Subject
}

func fault(f Fault, chain []*x509.Certificate, depth int, detail string) *ChainError {
	e := &ChainError{Fault: f, Depth: depth, Detail: detail}
	if depth < len(chain) {
		e.Subject = subjectText(chain[depth])
	}
	return e
}
