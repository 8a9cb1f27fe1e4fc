package gsi

import (
	"crypto/x509"
	"errors"
)

// MaxRequestBytes bounds a certificate request: one with an RSA key of 16384
// bits takes 5 kB.
const MaxRequestBytes = 64 << 10

// Delegate answers a PKCS#10 request in DER with a proxy certificate and its
// chain, leaf first, as MyProxy's PUT and other delegations want it. Nothing
// of the request goes into the certificate but its key: its subject and the
// extensions that it asks for, alternative names among them, are not the
// requester's to choose.
//
// The request must be signed with its own key, and the key must be one that
// servers accept. A proxyCertInfo in it narrows what opts says: the shorter of
// the two path lengths, and of the two rights the first of limited, independent
// and inherit all (servers give an independent proxy what they give a full one:
// measured, xrootd 5.5.3 and davs). Errors are *ChainError, except for mistakes
// in opts.
func Delegate(issuer *Credential, csrDER []byte, opts IssueOptions) (chain []*x509.Certificate, err error) {
	csr, err := readRequest(csrDER)
	if err != nil {
		return nil, err
	}
	if opts, err = narrowed(opts, csr); err != nil {
		return nil, err
	}
	cert, err := Issue(issuer, csr.PublicKey, opts)
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{cert}, issuer.Chain...), nil
}

// readRequest checks the key before it computes with it. SHA-1 is good enough
// for a proof of possession that is seconds old, MD5 is not.
func readRequest(der []byte) (*x509.CertificateRequest, error) {
	if len(der) > MaxRequestBytes {
		return nil, requestFault(FaultRequest, "it is larger than 64 KiB")
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, requestFault(FaultRequest, "it cannot be read")
	}
	if reason := weakPublicKey(csr.PublicKey); reason != "" {
		return nil, requestFault(FaultWeakKey, "it has "+reason)
	}
	var insecure x509.InsecureAlgorithmError
	switch err := csr.CheckSignature(); {
	case errors.As(err, &insecure):
		return nil, requestFault(FaultSHA1, "it is signed with "+csr.SignatureAlgorithm.String()+", which is broken")
	case err != nil:
		return nil, requestFault(FaultSignature, "it is not signed with its own key")
	}
	return csr, nil
}

func requestFault(f Fault, detail string) *ChainError {
	return fault(f, nil, 0, "the certificate request is refused: "+detail)
}

// narrowed is opts with what the request's proxyCertInfo says.
func narrowed(opts IssueOptions, csr *x509.CertificateRequest) (IssueOptions, error) {
	p, err := readExtension(csr.Extensions)
	switch {
	case err != nil:
		return opts, requestFault(FaultProxyInfo, "its proxyCertInfo extension is malformed")
	case p == nil:
		return opts, nil
	case p.badPolicy() != "":
		return opts, requestFault(FaultProxyInfo, p.badPolicy())
	}
	if opts.Rights != RightsLimited && p.rights() != RightsInheritAll {
		opts.Rights = p.rights()
	}
	if p.PathLen >= 0 && (opts.PathLen == nil || p.PathLen < *opts.PathLen) {
		opts.PathLen = &p.PathLen
	}
	return opts, nil
}
