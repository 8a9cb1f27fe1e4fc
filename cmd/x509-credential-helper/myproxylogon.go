package main

import (
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// mpLogon is a logon that is put together: what is asked for, by whom, and where
// it goes.
type mpLogon struct {
	*mpCall
	out     string // a path, or "-"
	client  *myproxy.Client
	request myproxy.DelegationRequest
}

func runLogon(ctx context.Context, m *mpCall) error {
	l := &mpLogon{mpCall: m}
	if err := l.prepare(ctx); err != nil {
		return err
	}
	if err := l.checkOutput(); err != nil { // before a pass phrase goes out in vain
		return err
	}
	installed, err := l.bootstrap(ctx, l.client)
	if err != nil {
		return err
	}
	l.request.TrustRoots = (m.c.Bool("trustroots") || m.c.Bool("bootstrap")) && installed == nil
	if err := l.authenticate(ctx); err != nil {
		return err
	}
	if m.c.Bool("no-credentials") {
		return l.tryOnly(ctx)
	}
	got, err := l.client.GetDelegation(ctx, l.request)
	m.judge(ctx, l.request.Passphrase, err)
	if err != nil {
		return err
	}
	if got.Anonymous != nil {
		m.p.note("note: the server refused the client certificate, so the pass phrase was sent without one: %s", clean(got.Anonymous.Error()))
	}
	if err := l.write(got.Credential); err != nil {
		return err
	}
	if l.request.TrustRoots {
		if installed, err = m.renewTrust(ctx, got.TrustRoots); err != nil {
			return err
		}
	}
	return l.report(got, installed)
}

// prepare reads the options that say what is asked for.
func (l *mpLogon) prepare(ctx context.Context) (err error) {
	if l.out, err = l.output(); err != nil {
		return err
	}
	r := &l.request
	r.CredentialName = l.credentialName()
	if r.Lifetime, err = l.hoursOf("lifetime", l.config.Lifetime); err != nil {
		return err
	}
	l.setRights()
	if err := l.setKey(); err != nil {
		return err
	}
	if file := l.c.String("certreq"); file != "" {
		if r.Request, err = l.read(file); err != nil {
			return err
		}
	}
	if file := l.c.String("authorization"); file != "" {
		if r.Renew, err = myproxy.ReadProxyFile(file); err != nil {
			return err
		}
	}
	identity, err := l.identityFor(ctx)
	if err != nil {
		return err
	}
	dn := identity.name()
	if r.Renew != nil {
		if info, err := gsi.Inspect(r.Renew.Chain); err == nil {
			dn = info.Identity
		}
	}
	if r.Username, err = l.username(dn); err != nil {
		return err
	}
	l.client, err = l.mpCall.client(identity)
	return err
}

// setRights reads what the proxy shall be good for. A profile that says limited
// is never widened.
func (l *mpLogon) setRights() {
	r, p := &l.request, l.profile
	r.Limited = l.c.Bool("limited") || p != nil && p.Limited
	r.VOMS = l.c.StringSlice("voms")
	if p != nil {
		r.Lifetime = cmp.Or(r.Lifetime, p.Lifetime)
		if !l.c.IsSet("voms") {
			r.VOMS, r.VOMSES = p.VOMS, p.VOMSES
		}
	}
	if len(r.VOMS) > 0 && len(r.VOMSES) == 0 {
		r.VOMSES = myproxy.FindVOMSES(r.VOMS, l.p.getenv, l.p.home())
	}
}

// identityFor is the client certificate of a logon. Servers refuse a renewal by
// the very identity that is to be renewed ("self-authz"), so one that merely lies
// about is not shown then.
func (l *mpLogon) identityFor(ctx context.Context) (*mpIdentity, error) {
	identity, err := l.identity(ctx, l.c.Bool("no-passphrase"))
	if err != nil || identity == nil || l.request.Renew == nil || l.c.IsSet("tls-cert") {
		return identity, err
	}
	info, err := gsi.Inspect(l.request.Renew.Chain)
	if err == nil && info.Identity == identity.dn {
		l.verbose("the client certificate is not shown: it is of whom is to be renewed")
		return nil, nil
	}
	return identity, nil
}

// output is where the proxy goes.
func (l *mpLogon) output() (string, error) {
	if l.c.IsSet("out") {
		return l.c.String("out"), nil
	}
	if file := l.p.getenv("X509_USER_PROXY"); file != "" {
		return file, nil
	}
	if l.p.called != nil && l.p.called.name == mpClientName {
		return "", usagef("add -o FILE, or -o - for standard output", "%s: the output was not named, and X509_USER_PROXY is not set", mpClientName)
	}
	if file := myproxy.DefaultProxyFile(); file != "" {
		return file, nil
	}
	return "", usagef("add -o FILE, or -o - for standard output", "myproxy logon: the output was not named")
}

// checkOutput looks whether the proxy will have a place.
func (l *mpLogon) checkOutput() error {
	if l.out == "-" || l.c.Bool("no-credentials") {
		return nil
	}
	return myproxy.CheckProxyFile(l.out)
}

// setKey reads which kind of key is wanted.
func (l *mpLogon) setKey() (err error) {
	if l.c.IsSet("key") && l.c.IsSet("bits") {
		return usagef("leave --bits out", "myproxy logon: --key and --bits say the same")
	}
	if l.c.IsSet("key") {
		if l.request.KeyKind, err = gsi.ParseKeyType(l.c.String("key")); err != nil {
			return usagef("", "myproxy logon: %v", err)
		}
		return nil
	}
	bits := l.setting("bits", "", "", "MYPROXY_KEYBITS")
	if bits == "" {
		if l.profile != nil {
			l.request.KeyKind = l.profile.Key
		}
		return nil
	}
	if l.request.KeyBits, err = strconv.Atoi(bits); err != nil || l.request.KeyBits != 2048 && l.request.KeyBits != 3072 && l.request.KeyBits != 4096 {
		return usagef("write 2048, 3072 or 4096", "myproxy logon: a key of %q bits is not made", clean(bits))
	}
	return nil
}

// maxCSRFile bounds a file with a certificate request, in bytes.
const maxCSRFile = 1 << 20

func (l *mpLogon) read(file string) ([]byte, error) {
	in := l.p.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, helper.Errorf(helper.CodeInvalidRequest, "the certificate request cannot be read: %w", err)
		}
		defer f.Close()
		in = f
	} else if l.c.Bool("stdin-pass") {
		return nil, usagef("put the request into a file", "myproxy logon: standard input cannot be the request and the pass phrase")
	}
	data, err := io.ReadAll(io.LimitReader(in, maxCSRFile))
	if err != nil {
		return nil, helper.Errorf(helper.CodeInvalidRequest, "the certificate request cannot be read: %w", err)
	}
	return data, nil
}

// authenticate gets the pass phrase, where one is needed.
func (l *mpLogon) authenticate(ctx context.Context) (err error) {
	r := &l.request
	r.AnonymousRetry = true
	if r.Renew != nil || l.c.Bool("no-passphrase") {
		r.AnonymousRetry = false
		return nil
	}
	if r.Passphrase, err = l.passphrase(ctx, r.Username, l.client.Hosts); err != nil {
		return err
	}
	r.Sending = l.sending(r.Passphrase)
	return nil
}

// errAccepted ends a logon where the certificate request would follow.
var errAccepted = errors.New("the pass phrase is accepted")

// tryOnly finds out whether the pass phrase is accepted.
func (l *mpLogon) tryOnly(ctx context.Context) error {
	r := l.request.LogonRequest
	r.CSR = func(context.Context) ([]byte, error) { return nil, errAccepted }
	_, err := l.client.Logon(ctx, r)
	if errors.Is(err, errAccepted) {
		err = nil
	}
	l.judge(ctx, r.Passphrase, err)
	if err != nil || !l.c.Bool("json") {
		return err
	}
	return l.answer(&mpAnswer{Username: r.Username})
}

// write puts the credential where it belongs. Without a key, which stays with
// whoever made the request, it is certificates only.
func (l *mpLogon) write(c *gsi.Credential) error {
	switch {
	case l.out == "-" && l.c.Bool("json"):
		return nil // it is in the object
	case l.out == "-":
		data, err := pemOf(c)
		if err != nil {
			return err
		}
		_, err = l.p.stdout.Write(data)
		return err
	case c.Key == nil:
		data, err := pemOf(c)
		if err != nil {
			return err
		}
		return writeOver(l.out, data)
	}
	return myproxy.WriteProxyFile(l.out, c)
}

// writeOver writes certificates to a file, in the place of what is there.
func writeOver(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err == nil {
		_, err = f.Write(data)
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}
	if err != nil {
		return helper.Errorf(helper.CodeStorageError, "%s cannot be written: %w", clean(path), err)
	}
	return nil
}

func pemOf(c *gsi.Credential) ([]byte, error) {
	if c.Key != nil {
		return c.PEM()
	}
	var data []byte
	for _, cert := range c.Chain {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return data, nil
}

// report says what was received, first in the words of myproxy-logon.
func (l *mpLogon) report(got *myproxy.Delegation, installed *mpInstalled) error {
	credential, err := l.credential(got.Credential, l.out)
	if err != nil {
		return err
	}
	warnings := l.unanswered(got.Unanswered)
	if l.c.Bool("json") {
		return l.answer(&mpAnswer{
			Username: l.request.Username, CredentialName: l.request.CredentialName, Server: got.Server,
			Credential: credential, Anonymous: got.Anonymous != nil, TrustRoots: installed.json(), Warnings: warnings,
		})
	}
	if l.out == "-" || l.p.called != nil && l.p.called.name == mpClientName {
		return nil // its script says nothing
	}
	if err := l.say("A credential has been received for user %s in %s.", clean(l.request.Username), clean(l.out)); err != nil {
		return err
	}
	if installed.some() {
		if err := l.say("Trust roots have been installed in %s.", clean(installed.dir)); err != nil {
			return err
		}
	}
	asked := cmp.Or(l.request.Lifetime, myproxy.DefaultLifetime)
	if granted := time.Duration(credential.ExpiresIn) * time.Second; granted < asked-time.Minute {
		l.p.note("note: it lives for %s; %s was asked for", helper.Span(credential.ExpiresIn), helper.Span(int64(asked/time.Second)))
	}
	return nil
}

// credential describes a credential for JSON.
func (m *mpCall) credential(c *gsi.Credential, out string) (*mpCredential, error) {
	info, err := gsi.Inspect(c.Chain)
	if err != nil {
		return nil, err
	}
	j := &mpCredential{
		Path: out, Type: string(info.Type), Limited: info.Limited, Subject: info.Subject, Identity: info.Identity,
		IdentityRFC2253: info.IdentityRFC2253, NotBefore: stamp(info.NotBefore), NotAfter: stamp(info.NotAfter),
		ExpiresIn: int64(time.Until(info.NotAfter) / time.Second), Fingerprint: info.Fingerprint,
	}
	if out == "-" {
		j.Path = ""
		if j.PEM, err = pemOf(c); err != nil {
			return nil, err
		}
	}
	return j, nil
}
