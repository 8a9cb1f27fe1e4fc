package myproxy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// LoadIdentity reads a client's certificate and key from PEM files, for
// Client.Identity. Both may be the same file, as with a proxy. The certificate
// file may hold the issuers too, in any order; they are sent along, which a
// proxy needs. Where the key is encrypted pass is asked for its pass phrase, nil
// is nobody to ask; its error is returned as it is.
//
// Files must belong to us or to root, nobody else may write to them, and the key
// may be readable for a group at most (hosts' keys often are).
//
// Errors are *FileError and wrap those of [gsi.ParseCredentialWith].
func LoadIdentity(certFile, keyFile string, pass func() (secret.Secret, error)) (*tls.Certificate, error) {
	text, err := readPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	cred, err := gsi.ParseCredential(text)
	if errors.Is(err, gsi.ErrEncryptedKey) && pass != nil {
		var phrase secret.Secret
		if phrase, err = pass(); err != nil {
			return nil, err
		}
		cred, err = gsi.ParseCredentialWith(text, gsi.ParseOptions{Passphrase: phrase})
	}
	if err != nil {
		path := keyFile
		if errors.Is(err, gsi.ErrNoCertificate) {
			path = certFile
		}
		return nil, &FileError{Path: path, Reason: "cannot be used to log in", Err: err}
	}
	if !sameKey(cred.Leaf().PublicKey, cred.Key.Public()) {
		return nil, &FileError{Path: keyFile, Reason: "is not the key of the certificate in " + certFile}
	}
	return identityOf(cred), nil
}

// readPair returns the text of both files as one.
func readPair(certFile, keyFile string) ([]byte, error) {
	key, err := readPrivate(keyFile, 0o007)
	if err != nil || keyFile == certFile {
		return key, err
	}
	defer clear(key)
	cert, err := safefile.ReadTrusted(certFile, gsi.MaxCredentialBytes)
	if err != nil {
		return nil, fileError(certFile, err)
	}
	return bytes.Join([][]byte{cert, key}, []byte("\n")), nil
}

// chainEnd is when the first certificate of a chain ends.
func chainEnd(chain []*x509.Certificate) time.Time {
	return slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

// chainStart is when the last certificate of a chain begins.
func chainStart(chain []*x509.Certificate) time.Time {
	return slices.MaxFunc(chain, func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) }).NotBefore
}
