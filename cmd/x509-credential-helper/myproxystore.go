package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

func runStore(ctx context.Context, m *mpCall) error {
	request := myproxy.StoreRequest{
		CredentialName: m.credentialName(), Description: m.c.String("description"), NoOverwrite: m.c.Bool("no-overwrite"),
	}
	var err error
	if request.MaxLifetime, err = m.hoursOf("max-lifetime", m.ofProfile(m.config.MaxLifetime, "max_lifetime")); err != nil {
		return err
	}
	if request.Policy, err = m.policy(); err != nil {
		return err
	}
	certFile, keyFile, err := m.ownFiles()
	if err != nil {
		return err
	}
	if request.Certificate, request.Key, err = readPair(certFile, keyFile); err != nil {
		return err
	}
	if request.Passphrase, err = m.storePassphrase(ctx, keyFile); err != nil {
		return err
	}
	identity, err := m.storeIdentity(ctx, certFile, keyFile, request.Passphrase)
	if err != nil {
		return err
	}
	if request.Username, err = m.username(identity.name()); err != nil {
		return err
	}
	client, err := m.client(identity)
	if err != nil {
		return err
	}
	got, err := client.Store(ctx, request)
	if err != nil {
		return err
	}
	return m.stored(&stored{
		user: request.Username, name: request.CredentialName, owner: got.Owner, notAfter: got.NotAfter,
		maxLifetime: got.MaxLifetime, warnings: got.Warnings, server: got.Server, unanswered: got.Unanswered,
	})
}

// readPair reads what is stored. A proxy file has both; then the certificates go
// one way and the key the other.
func readPair(certFile, keyFile string) (cert, key []byte, err error) {
	for _, f := range []struct {
		path string
		data *[]byte
	}{{certFile, &cert}, {keyFile, &key}} {
		if *f.data, err = readStored(f.path); err != nil {
			return nil, nil, helper.Errorf(helper.CodeInvalidRequest, "what is to be stored cannot be read: %w", err)
		}
	}
	return cert, key, nil
}

// readStored reads a file, which may be a pipe, up to what any server takes.
func readStored(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, gsi.MaxCredentialBytes+1))
	if err == nil && len(data) > gsi.MaxCredentialBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, gsi.MaxCredentialBytes)
	}
	return data, err
}

func (m *mpCall) storePassphrase(ctx context.Context, keyFile string) (secret.Secret, error) {
	if m.c.Bool("stdin-pass") {
		return m.line(ctx)
	}
	return m.ask(ctx, fmt.Sprintf("Pass phrase of %s, which logons will need: ", keyFile))
}

// storeIdentity is who stores: the client certificate that was named, else what
// is found, else the very certificate that is stored, with the pass phrase that
// is known already.
func (m *mpCall) storeIdentity(ctx context.Context, certFile, keyFile string, pass secret.Secret) (*mpIdentity, error) {
	if m.c.IsSet("tls-cert") || m.c.IsSet("tls-key") {
		return m.identity(ctx, true)
	}
	known := func() (secret.Secret, error) { return pass, nil }
	located, err := m.locate(m.p.getenv)
	switch {
	case err != nil:
		return nil, err
	case located == nil, samePath(located.KeyFile, keyFile):
		m.verbose("client certificate: the one that is stored")
		return m.load(certFile, keyFile, known)
	}
	m.verbose("client certificate: %s (%s)", located.CertFile, located.Rule)
	return m.load(located.CertFile, located.KeyFile, m.keyPassphrase(ctx, located.KeyFile))
}

func samePath(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

func runRetrieve(ctx context.Context, m *mpCall) error {
	certFile, keyFile, err := m.retrieveFiles()
	if err != nil {
		return err
	}
	identity, err := m.identity(ctx, m.c.Bool("no-passphrase"))
	if err != nil {
		return err
	}
	request := myproxy.RetrieveRequest{CredentialName: m.credentialName(), TrustRoots: m.c.Bool("trustroots")}
	if request.Username, err = m.username(identity.name()); err != nil {
		return err
	}
	client, err := m.client(identity)
	if err != nil {
		return err
	}
	if !m.c.Bool("no-passphrase") {
		if request.Passphrase, err = m.passphrase(ctx, request.Username, client.Hosts); err != nil {
			return err
		}
	}
	got, err := client.Retrieve(ctx, request)
	m.judge(ctx, request.Passphrase, err)
	if err != nil {
		return err
	}
	public, err := pemOf(&gsi.Credential{Chain: got.Certificates})
	if err != nil {
		return err
	}
	if err := m.writeRetrieved(certFile, keyFile, public, got.KeyPEM); err != nil {
		return err
	}
	m.unanswered(got.Unanswered)
	var installed *mpInstalled
	if request.TrustRoots {
		if installed, err = m.renewTrust(ctx, got.TrustRoots); err != nil {
			return err
		}
	}
	return m.reportRetrieved(certFile, keyFile, request, got, installed)
}

// retrieveFiles are where certificate and key go; one file, or "-" for standard
// output, with -o.
func (m *mpCall) retrieveFiles() (cert, key string, err error) {
	cert, key = m.c.String("certfile"), m.c.String("keyfile")
	switch out := m.c.String("out"); {
	case out != "" && cert+key != "":
		return "", "", usagef("leave out one of them", "myproxy retrieve: -o is in place of -c and -y")
	case out != "":
		cert, key = out, out
	case cert == "" || key == "":
		usualCert, usualKey, err := m.usualPair()
		if err != nil {
			return "", "", err
		}
		cert, key = cmp.Or(cert, usualCert), cmp.Or(key, usualKey)
	}
	for _, path := range []string{cert, key} {
		if path != "-" && exists(path) {
			return "", "", helper.Errorf(helper.CodeInvalidRequest, "%s exists, and a stored certificate is never written over one that is there", clean(path)).
				WithHint("move it away, or name another file")
		}
	}
	return cert, key, nil
}

// usualPair is where Globus has a certificate and its key.
func (m *mpCall) usualPair() (cert, key string, err error) {
	if cert, key = m.p.getenv("X509_USER_CERT"), m.p.getenv("X509_USER_KEY"); cert != "" && key != "" {
		return cert, key, nil
	}
	if os.Getuid() == 0 && m.p.standsForC() {
		return "/etc/grid-security/hostcert.pem", "/etc/grid-security/hostkey.pem", nil
	}
	home := m.p.home()
	if home == "" {
		return "", "", usagef("add -c and -y, or -o", "myproxy retrieve: the output was not named, and there is no home directory")
	}
	return filepath.Join(home, ".globus", "usercert.pem"), filepath.Join(home, ".globus", "userkey.pem"), nil
}

// writeRetrieved writes new files only. The key is first: a certificate without
// its key would be in the way the next time.
func (m *mpCall) writeRetrieved(certFile, keyFile string, cert, key []byte) error {
	switch {
	case certFile == "-" && m.c.Bool("json"):
		return nil
	case certFile == "-":
		_, err := m.p.stdout.Write(append(cert, key...))
		return err
	case certFile == keyFile:
		return writeNew(certFile, append(cert, key...), 0o600)
	}
	if err := writeNew(keyFile, key, 0o600); err != nil {
		return err
	}
	if err := writeNew(certFile, cert, 0o644); err != nil {
		return errors.Join(err, os.Remove(keyFile))
	}
	return nil
}

// writeNew writes a file that did not exist, in a directory that is made.
func writeNew(path string, data []byte, mode os.FileMode) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return helper.Errorf(helper.CodeStorageError, "%s cannot be written: %w", clean(path), err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return helper.Errorf(helper.CodeStorageError, "%s cannot be written: %w", clean(path), err)
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return helper.Errorf(helper.CodeStorageError, "%s cannot be written: %w", clean(path), errors.Join(err, os.Remove(path)))
	}
	return nil
}

func (m *mpCall) reportRetrieved(certFile, keyFile string, r myproxy.RetrieveRequest, got *myproxy.RetrieveResult, installed *mpInstalled) error {
	if m.c.Bool("json") {
		credential, err := m.credential(&gsi.Credential{Chain: got.Certificates}, certFile)
		if err != nil {
			return err
		}
		if certFile == "-" {
			credential.PEM = append(credential.PEM, got.KeyPEM...)
		} else {
			credential.KeyPath = keyFile
		}
		return m.answer(&mpAnswer{
			Server: got.Server, Username: r.Username, CredentialName: r.CredentialName,
			Credential: credential, TrustRoots: installed.json(),
		})
	}
	if certFile == "-" {
		return nil
	}
	if err := m.say("Credentials for %s have been stored in\n%s and\n%s.", clean(r.Username), clean(certFile), clean(keyFile)); err != nil {
		return err
	}
	if !installed.some() {
		return nil
	}
	return m.say("Trust roots have been installed in %s.", clean(installed.dir))
}
