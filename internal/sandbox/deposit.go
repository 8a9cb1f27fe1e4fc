package sandbox

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
)

const (
	textNotAccepted = "Failed to accept credentials."
	textNotValid    = "Credentials are not valid."
	textNotStored   = "Unable to store credentials."
)

// put is command 1: the server makes a key, the client signs a proxy for it.
func (c *conversation) put(r *request) error {
	if refusal := passphraseRefusal(r.passphrase); refusal != "" {
		return c.answer(StageRequest, errorResponse(refusal))
	}
	if err := c.answer(StageRequest, okResponse(nil)); err != nil {
		return err
	}
	// Keys are shared here: see Keys.
	key, err := c.s.keys.get(c.s.ctx, keyProxy)
	if err != nil {
		return err
	}
	csr, err := delegationRequest(key)
	if err != nil {
		return err
	}
	if err := c.answer(StageCSR, csr); err != nil {
		return err
	}
	data, err := c.readOrEnd()
	if err != nil {
		return err
	}
	if len(data) > 0 && len(data) < leastDeposit {
		return errCrash
	}
	chain, err := parseDelegation(data)
	if err != nil {
		return c.finish(textNotAccepted)
	}
	file, err := newCredentialFile(chain, key, r.passphrase)
	if err != nil {
		return c.finish(textNotStored)
	}
	return c.deposit(r, file)
}

// storeFile is command 5: the client sends certificate and key as they are in its
// files. Only the certificates are looked at.
func (c *conversation) storeFile(r *request) error {
	if err := c.answer(StageRequest, okResponse(nil)); err != nil {
		return err
	}
	data, err := c.readOrEnd()
	if err != nil {
		return err
	}
	switch {
	case len(data) == 0:
		return c.finish(textNotAccepted)
	case len(data) < leastDeposit:
		return errCrash
	}
	file, err := parseCredentialFile(storedText(data))
	if err != nil {
		return c.finish(textNotValid)
	}
	return c.deposit(r, file)
}

// leastDeposit is the length below which the real server looks for the word
// VERSION far behind a message, and crashes.
const leastDeposit = len("VERSION")

// errCrash ends a conversation without an answer, where the real server's
// process ends by a signal.
var errCrash = errors.New("the real server would crash")

// storedText is what the real server makes of a message with a credential: it
// ends at the NUL and gets a line feed.
func storedText(data []byte) []byte {
	data, _, _ = bytes.Cut(data, []byte{0})
	return append(bytes.Clone(data), '\n')
}

// finish sends the last response of PUT and STORE.
func (c *conversation) finish(refusal string) error {
	if c.faults.RefuseLate != "" {
		refusal = c.faults.RefuseLate
	}
	if refusal != "" {
		return c.answer(StageEnd, errorResponse(refusal))
	}
	return c.answer(StageEnd, okResponse(nil))
}

// deposit verifies what a client sent and stores it. That the key belongs to
// the certificate is nobody's question.
func (c *conversation) deposit(r *request, file *credentialFile) error {
	if allProxies(file.certificates) {
		return errCrash
	}
	refusal := c.depositRefusal(file)
	if refusal == "" && c.faults.RefuseLate == "" {
		c.s.keep(&credential{
			username: r.username, name: r.credName, owner: c.peer.name,
			lifetime: r.lifetime, settings: r.settings, file: file,
		})
	}
	return c.finish(refusal)
}

func (c *conversation) depositRefusal(file *credentialFile) string {
	if c.s.verifyStored(file.certificates) != "" {
		return textNotValid
	}
	if most := c.s.policies.MaxCredentialLifetime; most > 0 {
		_, end := file.times()
		left := end.Sub(c.s.now())
		const slack = 3599 // seconds
		switch {
		case left <= 0:
			return "Credential expired!"
		case int(left.Seconds()) > hours(most)*3600+slack:
			return fmt.Sprintf("Credential lifetime (%d hours) exceeds maximum allowed by server (%d hours).", hours(left), hours(most))
		}
	}
	return ""
}

// passphraseRefusal is the server's policy for new pass phrases. None at all
// is allowed: that is how credentials for renewal are stored.
func passphraseRefusal(passphrase string) string {
	if passphrase != "" && len(passphrase) < minPassphrase {
		return textTooShort
	}
	return ""
}

// delegationRequest is the certificate request of a PUT, as the real server
// writes it.
func delegationRequest(key any) ([]byte, error) {
	info, err := proxyExtension(oidInheritAll)
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "NULL SUBJECT NAME ENTRY"},
		ExtraExtensions: []pkix.Extension{info},
	}, key)
}

var errNoChain = errors.New("no count and certificates")

// parseDelegation reads what answers the server's certificate request. The
// count must not be 0, but is not believed either: certificates are read to
// the end. What looks like a response behind them is cut off.
func parseDelegation(data []byte) ([]*x509.Certificate, error) {
	if i := bytes.Index(data, []byte("VERSION")); i >= 0 {
		data = data[:i]
	}
	if len(data) < 2 || data[0] == 0 {
		return nil, errNoChain
	}
	var chain []*x509.Certificate
	for rest := data[1:]; len(rest) > 0; {
		cert, after, err := nextCertificate(rest)
		if err != nil {
			return nil, err
		}
		chain, rest = append(chain, cert), after
	}
	return chain, nil
}

// parseCounted reads a count and as many certificates, at least one; what
// follows them is ignored.
func parseCounted(data []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := data[1:]; len(chain) == 0 || len(chain) < int(data[0]); {
		cert, after, err := nextCertificate(rest)
		if err != nil {
			return nil, err
		}
		chain, rest = append(chain, cert), after
	}
	return chain, nil
}

func nextCertificate(data []byte) (*x509.Certificate, []byte, error) {
	var raw asn1.RawValue
	rest, err := asn1.Unmarshal(data, &raw)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(raw.FullBytes)
	return cert, rest, err
}
