package main

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

func runPut(ctx context.Context, m *mpCall) error {
	request, err := m.putRequest()
	if err != nil {
		return err
	}
	identity, err := m.putIdentity(ctx, request)
	if err != nil {
		return err
	}
	client, err := m.client(identity)
	if err != nil {
		return err
	}
	if !request.NoPassphrase {
		question := fmt.Sprintf("New MyProxy pass phrase for %q at %s: ", request.Username, showHosts(client.Hosts))
		if m.p.called != nil && m.p.called.ask != "" {
			question = m.p.called.ask
		}
		if request.Passphrase, err = m.newPassphrase(ctx, question); err != nil {
			return err
		}
	}
	got, err := client.Put(ctx, *request)
	if err != nil {
		return err
	}
	local, err := m.localProxy(ctx, request)
	if err != nil {
		return err
	}
	return m.stored(&stored{
		user: request.Username, name: request.CredentialName, owner: got.Owner, notAfter: got.NotAfter,
		maxLifetime: got.MaxLifetime, server: got.Server, local: local, unanswered: got.Unanswered,
	})
}

// putRequest is what the options say.
func (m *mpCall) putRequest() (*myproxy.PutRequest, error) {
	r := &myproxy.PutRequest{CredentialName: m.credentialName(), Description: m.c.String("description"), Limited: m.c.Bool("limited")}
	var err error
	if r.MaxLifetime, err = m.hoursOf("max-lifetime", m.ofProfile(m.config.MaxLifetime, "max_lifetime")); err != nil {
		return nil, err
	}
	if r.DelegationLifetime, err = m.hoursOf("cred-lifetime", myproxy.DefaultDelegationLifetime); err != nil {
		return nil, err
	}
	if r.DelegationLifetime == 0 { // as long as the certificate
		r.DelegationLifetime = 100 * longest
	}
	if r.Policy, err = m.policy(); err != nil {
		return nil, err
	}
	r.NoPassphrase = m.c.Bool("no-passphrase") || r.Policy.Renewer != "" || r.Policy.TrustedRetriever != ""
	return r, nil
}

// putIdentity reads the certificate that is delegated, and says who does it: the
// client certificate that was named, else the same one.
func (m *mpCall) putIdentity(ctx context.Context, r *myproxy.PutRequest) (*mpIdentity, error) {
	certFile, keyFile, err := m.ownFiles()
	if err != nil {
		return nil, err
	}
	own, err := m.load(certFile, keyFile, m.keyPassphrase(ctx, keyFile))
	if err != nil {
		return nil, err
	}
	if r.Credential, err = own.credential(); err != nil {
		return nil, err
	}
	if r.Username, err = m.username(own.dn); err != nil {
		return nil, err
	}
	if m.c.IsSet("tls-cert") || m.c.IsSet("tls-key") {
		return m.owner(ctx)
	}
	return own, nil
}

// credential is the identity as what signs proxies.
func (i *mpIdentity) credential() (*gsi.Credential, error) {
	chain, err := chainOf(i.cert)
	if err != nil {
		return nil, err
	}
	key, ok := i.cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, helper.Errorf(helper.CodeInvalidCredential, "the key of %s cannot sign", i.certFile)
	}
	return &gsi.Credential{Chain: chain, Key: key}, nil
}

// policy reads who but the owner may use what is stored.
func (m *mpCall) policy() (myproxy.Policy, error) {
	p := myproxy.Policy{
		Retriever: m.c.String("retrievable-by"), Renewer: m.c.String("renewable-by"),
		TrustedRetriever: m.c.String("retrievable-by-cert"), KeyRetriever: m.c.String("retrieve-key"),
	}
	for _, anybody := range []struct {
		option, other string
		pattern       *string
	}{
		{"allow-anonymous-retrievers", "retrievable-by", &p.Retriever},
		{"allow-anonymous-renewers", "renewable-by", &p.Renewer},
	} {
		if !m.c.Bool(anybody.option) {
			continue
		}
		if *anybody.pattern != "" {
			return p, usagef("leave out one of them", "myproxy %s: --%s and --%s exclude each other", m.command, anybody.option, anybody.other)
		}
		*anybody.pattern = "*"
	}
	return p, nil
}

// ownFiles are the certificate and key that are stored: those that were named,
// else X509_USER_CERT with X509_USER_KEY, else ~/.globus, else whatever is found
// where Globus looks.
func (m *mpCall) ownFiles() (cert, key string, err error) {
	cert, key = m.c.String("certfile"), m.c.String("keyfile")
	switch {
	case cert != "":
		return cert, cmp.Or(key, cert), nil
	case key != "":
		return "", "", usagef("add --certfile", "myproxy %s: --keyfile is for --certfile only", m.command)
	}
	if cert, key = m.p.getenv("X509_USER_CERT"), m.p.getenv("X509_USER_KEY"); cert != "" && key != "" {
		return cert, key, nil
	}
	if home := m.p.home(); home != "" {
		cert, key = filepath.Join(home, ".globus", "usercert.pem"), filepath.Join(home, ".globus", "userkey.pem")
		if exists(cert) && exists(key) {
			return cert, key, nil
		}
	}
	located, err := m.locate(m.p.getenv)
	switch {
	case err != nil:
		return "", "", err
	case located == nil:
		return "", "", helper.Errorf(helper.CodeNotConfigured, "no certificate was found that could be stored").
			WithHint("name it with --certfile and --keyfile")
	}
	return located.CertFile, located.KeyFile, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// localProxy is put -L.
func (m *mpCall) localProxy(ctx context.Context, r *myproxy.PutRequest) (string, error) {
	if !m.c.Bool("local-proxy") {
		return "", nil
	}
	out := cmp.Or(m.p.getenv("X509_USER_PROXY"), myproxy.DefaultProxyFile())
	key, err := gsi.GenerateKey(ctx, gsi.KeyRSA2048)
	if err != nil {
		return "", err
	}
	rights := gsi.RightsInheritAll
	if r.Limited {
		rights = gsi.RightsLimited
	}
	proxy, err := r.Credential.Derive(key, gsi.IssueOptions{
		Now: time.Now(), Lifetime: cmp.Or(r.MaxLifetime, myproxy.DefaultLifetime), Rights: rights,
	})
	if err != nil {
		return "", err
	}
	return out, myproxy.WriteProxyFile(out, proxy)
}

// stored is what there is to say about something that was stored.
type stored struct {
	user, name, server string
	owner              myproxy.Owner
	notAfter           time.Time
	maxLifetime        time.Duration
	warnings           []string
	unanswered         []*myproxy.HostError
	local              string // -L
}

// stored says what is on the server now, first in the words of myproxy-init or
// myproxy-store.
func (m *mpCall) stored(s *stored) error {
	for _, w := range s.warnings {
		m.p.note("note: %s", clean(w))
	}
	warnings := append(s.warnings, m.unanswered(s.unanswered)...)
	if m.c.Bool("json") {
		return m.answer(&mpAnswer{
			Server: s.server, Username: s.user, CredentialName: s.name, Owner: clean(s.owner.OneLine), OwnerRFC2253: clean(s.owner.RFC2253),
			MaxLifetime: int64(s.maxLifetime / time.Second), NotAfter: stampOrNone(s.notAfter), Warnings: warnings,
		})
	}
	first := "Credentials saved to myproxy server."
	if m.command == "put" {
		hours := int(math.Round(time.Until(s.notAfter).Hours()))
		host, _, _ := net.SplitHostPort(s.server)
		first = fmt.Sprintf("A proxy valid for %d hours (%.1f days) for user %s now exists on %s.",
			hours, float64(hours)/24, clean(s.user), host)
	}
	if err := m.say("%s", first); err != nil {
		return err
	}
	if s.local != "" {
		if err := m.say("Your proxy is in %s.", clean(s.local)); err != nil {
			return err
		}
	}
	return m.say("Its owner is %s: nobody else can see, change or destroy it.\nProxies out of it live for %s at most.",
		clean(s.owner.OneLine), helper.Span(int64(s.maxLifetime/time.Second)))
}
