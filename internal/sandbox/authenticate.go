package sandbox

import (
	"errors"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// authenticate asks the client for what the credential wants: the pass phrase
// of an encrypted key from everybody, trusted retrievers too, else PAM's pass
// phrase in CA mode, else the proof that the client has a proxy to renew.
func (c *conversation) authenticate(said *complaint, r *request, stored *credential, trusted, mayRenew bool) (renewed, ok bool, err error) {
	encrypted := stored != nil && stored.file.encrypted()
	switch {
	case encrypted:
		return false, c.checkPassphrase(said, r, stored), nil
	case trusted:
		return false, true, nil
	case c.s.opts.Mode == CA && r.passphrase != "":
		return false, c.checkPAM(said, r), nil
	case mayRenew:
		ok, err := c.challenge(said, r, stored)
		if !ok {
			said.put(textAuthentication)
		}
		return true, ok, err
	}
	if r.passphrase == "" {
		said.put("no passphrase")
	}
	said.put(textAuthentication)
	return false, false, nil
}

// checkPassphrase tries to open the stored key, unless the pass phrase is too
// short to be one. Of a key that is not encrypted no pass phrase is right.
func (c *conversation) checkPassphrase(said *complaint, r *request, stored *credential) bool {
	const nul = 1 // the C code counts the NUL
	file := stored.file
	if !file.encrypted() {
		return c.s.opts.Mode == CA && c.checkPAM(said, r)
	}
	if len(r.passphrase)+nul >= minPassphrase {
		err := file.verify(r.passphrase)
		switch {
		case err == nil:
			return true
		case file.anyKey == nil, errors.Is(err, gsi.ErrBadKey):
			said.put("Error reading private key " + c.s.storagePath(stored))
			said.put(textNoKey)
			if file.anyKey != nil {
				said.put(textBadKey)
			}
		default:
			said.put("Bad password")
		}
	}
	said.put(textPassphrase)
	return false
}

// OpenSSL's words for a text without a key, and more of them for what is none
// although it is called an RSA key: an elliptic one after a change of its pass
// phrase.
const (
	textNoKey  = "error:1E08010C:DECODER routines::unsupported\nNo supported data to decode. Input type: PEM"
	textBadKey = `error:068000A8:asn1 encoding routines::wrong tag

error:0688010A:asn1 encoding routines::nested asn1 error

error:0688010A:asn1 encoding routines::nested asn1 error
Field=n, Type=RSAPrivateKey
error:068000A8:asn1 encoding routines::wrong tag
error:0688010A:asn1 encoding routines::nested asn1 error
Type=X509_ALGOR
error:0688010A:asn1 encoding routines::nested asn1 error
Field=pkeyalg, Type=PKCS8_PRIV_KEY_INFO`
)

// checkPAM is the online CA's check of a pass phrase.
func (c *conversation) checkPAM(said *complaint, r *request) bool {
	a := c.s.account(r.username, nil)
	if a != nil && a.Passphrase != "" && r.passphrase == a.Passphrase {
		return true
	}
	said.put(c.s.opts.PAMText)
	return false
}
