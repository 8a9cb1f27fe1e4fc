package myproxy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// The challenges of AUTHORIZATION_DATA that are answered, and the numbers of
// the answers (gct myproxy_authorization.h).
const (
	challengeSHA256 = "X509_certificate_SHA256:"
	challengeSHA1   = "X509_certificate:"
	proofSHA256     = 4
	proofSHA1       = 2
)

const (
	// proofHeader is the number of the method, three zero bytes and the length
	// of the signature.
	proofHeader = 8
	// maxSignature is that of an RSA key of 8192 bits.
	maxSignature = 1024
	// minChallenge and maxChallenge bound a challenge; measured were 32 digits.
	minChallenge, maxChallenge = 16, 128
)

// checkRenew finds out before the first connection that the credential to renew
// could not be proved.
func checkRenew(r *LogonRequest) error {
	const field = "credential to renew"
	if r.Renew == nil {
		return nil
	}
	if len(r.Passphrase) > 0 {
		return &RequestError{Field: fieldPassphrase, Reason: "must be empty for a renewal: the credential takes its place"}
	}
	if len(r.Renew.Chain) == 0 {
		return &RequestError{Field: field, Reason: "has no certificate"}
	}
	if r.Renew.Key == nil {
		return &RequestError{Field: field, Reason: "has no private key"}
	}
	switch r.Renew.Key.Public().(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
	default:
		return &RequestError{Field: field, Reason: "has a key that is neither RSA nor ECDSA: servers know no other proof"}
	}
	if proofHeader+maxSignature+len(chainMessage(r.Renew.Chain)) > maxMessageOut || len(r.Renew.Chain) > gsi.MaxCertificates {
		return &RequestError{Field: field, Reason: "is longer than a server can read in one piece"}
	}
	return nil
}

// prove answers a challenge by a signature with the key of the credential to
// renew, and reads the response to it.
func (s *session) prove(cred *gsi.Credential, challenge *response) (*response, error) {
	if cred == nil {
		return nil, s.unanswered(StageRequest, challenge)
	}
	proof, err := makeProof(cred, challenge.challenges)
	var odd *ProtocolError
	if errors.As(err, &odd) {
		odd.Server = s.server
	}
	if err != nil {
		return nil, err
	}
	if err := s.send("sending the proof of the credential to renew", proof); err != nil {
		return nil, err
	}
	res, err := s.receive("waiting for the answer to the proof", StageRequest, s.wantRoots)
	if err == nil {
		err = s.demandOK(res, StageRequest)
	}
	return res, err
}

// makeProof returns the message that proves the possession of a credential: the
// method, three zero bytes, the length of the signature (32 bits, big-endian),
// the signature over the digits of the challenge, the chain.
func makeProof(cred *gsi.Credential, challenges []string) ([]byte, error) {
	method, text := pickChallenge(challenges)
	var digest []byte
	var hash crypto.Hash
	switch method {
	case proofSHA256:
		sum := sha256.Sum256([]byte(text))
		digest, hash = sum[:], crypto.SHA256
	case proofSHA1:
		sum := sha1.Sum([]byte(text)) // servers before 6.0 know no other
		digest, hash = sum[:], crypto.SHA1
	default:
		return nil, &ProtocolError{Reason: "asks for a proof of the credential to renew that this client does not know"}
	}
	// Whoever chooses the text that a key signs can make it sign a certificate.
	// Digits are none.
	if !isChallenge(text) {
		return nil, &ProtocolError{Reason: "asks to sign something that is no challenge"}
	}
	signature, err := cred.Key.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, &ProtocolError{Reason: "asks for a signature that the key of the credential to renew cannot give", Err: err}
	}
	if len(signature) > maxSignature {
		return nil, &RequestError{Field: "credential to renew", Reason: fmt.Sprintf("signs with more than %d bytes", maxSignature)}
	}
	proof := append(make([]byte, 0, maxMessageOut), byte(method), 0, 0, 0)
	proof = binary.BigEndian.AppendUint32(proof, uint32(len(signature)))
	return append(append(proof, signature...), chainMessage(cred.Chain)...), nil
}

// pickChallenge prefers SHA-256. Method 0 is none.
func pickChallenge(challenges []string) (method int, text string) {
	for _, c := range challenges {
		if text, ok := strings.CutPrefix(c, challengeSHA256); ok {
			return proofSHA256, text
		}
	}
	for _, c := range challenges {
		if text, ok := strings.CutPrefix(c, challengeSHA1); ok {
			return proofSHA1, text
		}
	}
	return 0, ""
}

func isChallenge(text string) bool {
	return len(text) >= minChallenge && len(text) <= maxChallenge && strings.Trim(text, "0123456789abcdefABCDEF") == ""
}

// chainMessage is a chain as both sides send it: one byte that counts, then one
// DER certificate after the other.
func chainMessage(chain []*x509.Certificate) []byte {
	msg := []byte{byte(len(chain))}
	for _, c := range chain {
		msg = append(msg, c.Raw...)
	}
	return msg
}
