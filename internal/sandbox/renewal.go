package sandbox

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // for crypto.SHA1: the older method
	_ "crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
)

// The methods of a renewal: which hash is signed.
const (
	methodSHA1   = 2
	methodSHA256 = 4
)

// challenge has the client sign with a proxy of the credential's owner. The
// name of the other challenge is that of the hash in it.
func (c *conversation) challenge(said *complaint, r *request, stored *credential) (bool, error) {
	challenges := map[byte]string{methodSHA1: newChallenge(), methodSHA256: newChallenge()}
	message := fmt.Sprintf("VERSION=MYPROXYv2\nRESPONSE=2\nAUTHORIZATION_DATA=X509_certificate:%s\nAUTHORIZATION_DATA=X509_certificate_SHA256:%s\n\x00",
		challenges[methodSHA1], challenges[methodSHA256])
	if err := c.answer(StageChallenge, []byte(message)); err != nil {
		return false, err
	}
	data, err := c.readOrEnd()
	if err != nil {
		return false, err
	}
	if len(data) == 0 {
		said.put("Error reading: connection closed")
		return false, nil
	}
	reply, refusal := parseReply(data)
	switch {
	case refusal != "":
		said.put("internal error: ssl_creds_from_buffer() failed")
		said.put(refusal)
		return false, nil
	case challenges[reply.method] == "":
		return false, nil
	case allProxies(reply.chain):
		return false, errCrash
	}
	return c.checkReply(said, r, stored, reply, challenges[reply.method]), nil
}

func newChallenge() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // it cannot fail since Go 1.24
	return hex.EncodeToString(random)
}

// checkReply verifies the signature, the chain, and whose it is.
func (c *conversation) checkReply(said *complaint, r *request, stored *credential, reply *renewalReply, challenge string) bool {
	if text := reply.verify(challenge); text != "" {
		said.put("certificate verification failed")
		said.put(text)
		return false
	}
	if reason := c.s.verifyStored(reply.chain); reason != "" {
		said.put("certificate chain verification failed")
		said.put(reason)
		return false
	}
	owner, err := c.s.inspect(reply.chain)
	subject := ""
	if stored != nil {
		subject = c.s.baseSubject(stored)
	} else if a := c.s.account(r.username, nil); a != nil {
		subject = onlineName(a)
	}
	if err != nil || owner.name != subject {
		said.put("certificate subject does not match credential to be renewed")
		return false
	}
	c.peer.limited = c.peer.limited || owner.limited
	return true
}

// renewalReply is a client's answer to a challenge.
type renewalReply struct {
	method    byte
	signature []byte
	chain     []*x509.Certificate
}

// The words of the C code and of OpenSSL for what is no chain; the last are
// those for one cut short.
const (
	textNoChain  = "Failed writing buffer to BIO"
	textCutChain = "Failed unpacking chain from buffer(reading user's certificate)\n" +
		"error:0680008E:asn1 encoding routines::not enough data\n"
)

// parseReply reads the method (one byte and three that are not looked at), the
// signature behind its length, and a count of certificates with their DER. It
// is not given an empty message. The text is why it cannot be read.
func parseReply(data []byte) (r *renewalReply, refusal string) {
	const methodLength, lengthLength = 4, 4
	r = &renewalReply{method: data[0]}
	if r.method != methodSHA1 && r.method != methodSHA256 {
		return r, ""
	}
	if len(data) < methodLength+lengthLength {
		return nil, textCutChain
	}
	size := binary.BigEndian.Uint32(data[methodLength:])
	data = data[methodLength+lengthLength:]
	if uint64(size) >= uint64(len(data)) { // the count byte follows
		return nil, textNoChain
	}
	r.signature = data[:size]
	var err error
	if r.chain, err = parseCounted(data[size:]); err != nil {
		return nil, textCutChain
	}
	return r, ""
}

// verify checks the signature; the text says in OpenSSL's words what is wrong.
func (r *renewalReply) verify(challenge string) string {
	const failed = "Verifying signature (EVP_VerifyFinal())"
	hash := crypto.SHA256
	if r.method == methodSHA1 {
		hash = crypto.SHA1
	}
	h := hash.New()
	h.Write([]byte(challenge))
	digest := h.Sum(nil)
	switch key := r.chain[0].PublicKey.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(key, hash, digest, r.signature) == nil {
			return ""
		}
		return failed + "\n" + r.rsaReason(key) + "error:1C880004:Provider routines::RSA lib\n"
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(key, digest, r.signature) {
			return ""
		}
	}
	return failed
}

// rsaReason tells a signature of something else from what is none.
func (r *renewalReply) rsaReason(key *rsa.PublicKey) string {
	const (
		another = "error:02000068:rsa routines::bad signature\n\n"
		none    = "error:0200008A:rsa routines::invalid padding\n\nerror:02000072:rsa routines::padding check failed\n\n"
		length  = "error:02000077:rsa routines::wrong signature length\n\n"
	)
	if len(r.signature) != key.Size() {
		return length
	}
	block := new(big.Int).Exp(new(big.Int).SetBytes(r.signature), big.NewInt(int64(key.E)), key.N)
	if bytes.HasPrefix(block.FillBytes(make([]byte, key.Size())), []byte{0, 1, 0xff}) { // RFC 8017 section 9.2
		return another
	}
	return none
}
