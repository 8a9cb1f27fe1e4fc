package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
)

func runInfo(ctx context.Context, m *mpCall) error {
	identity, err := m.owner(ctx)
	if err != nil {
		return err
	}
	user, err := m.username(identity.dn)
	if err != nil {
		return err
	}
	client, err := m.client(identity)
	if err != nil {
		return err
	}
	got, err := client.Info(ctx, myproxy.InfoRequest{Username: user})
	if err != nil {
		return err
	}
	m.unanswered(got.Unanswered)
	credentials := got.Credentials
	if m.c.IsSet("credential-name") {
		credentials = named(credentials, m.credentialName())
	}
	if m.c.Bool("json") {
		err = m.answer(&mpAnswer{Server: got.Server, Username: user, Credentials: infoJSON(credentials, time.Now())})
	} else if len(credentials) > 0 {
		_, err = fmt.Fprint(m.p.stdout, infoText(user, credentials, time.Now()))
	}
	if err != nil {
		return err
	}
	switch {
	case len(credentials) > 0:
		return nil
	case len(got.Credentials) > 0:
		m.p.complain(fmt.Sprintf("user %q has no credential %q on %s that %s owns",
			clean(user), clean(m.credentialName()), showHosts([]string{got.Server}), clean(identity.dn)), "without -k all are listed")
	default:
		m.p.complain(fmt.Sprintf("for user %q there is nothing on %s that %s owns: nothing is stored, or it is somebody else's",
			clean(user), showHosts([]string{got.Server}), clean(identity.dn)), "check -l; a credential is seen only with the certificate that stored it, named with --tls-cert")
	}
	return notGood
}

func named(list []myproxy.StoredCredential, name string) (found []myproxy.StoredCredential) {
	for _, c := range list {
		if c.Name == name {
			found = append(found, c)
		}
	}
	return found
}

// infoText is what myproxy-info prints: scripts look for its words.
func infoText(user string, list []myproxy.StoredCredential, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "username: %s\n", clean(user))
	for _, c := range list {
		for _, line := range []struct{ label, value string }{
			{"owner", c.Owner}, {"  name", c.Name}, {"  description", c.Description},
			{"  retrieval policy", c.Retriever}, {"  renewal policy", c.Renewer},
			{"  key retrieval policy", c.KeyRetrievers}, {"  trusted retrieval policy", c.TrustedRetriever},
			{"  locked", c.LockMessage},
		} {
			if line.value != "" {
				fmt.Fprintf(&b, "%s: %s\n", line.label, clean(line.value))
			}
		}
		left := max(int64(c.End.Sub(now)/time.Second), 0)
		fmt.Fprintf(&b, "  timeleft: %d:%02d:%02d", left/3600, left%3600/60, left%60)
		if days := float64(left) / 86400; days > 1 {
			fmt.Fprintf(&b, "  (%.1f days)", days)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func infoJSON(list []myproxy.StoredCredential, now time.Time) *[]mpStoredCredential {
	all := []mpStoredCredential{}
	for _, c := range list {
		j := mpStoredCredential{
			Name: clean(c.Name), Description: clean(c.Description), Owner: clean(c.Owner),
			NotBefore: stampOrNone(c.Start), NotAfter: stampOrNone(c.End),
			Retriever: clean(c.Retriever), Renewer: clean(c.Renewer),
			TrustedRetriever: clean(c.TrustedRetriever), KeyRetriever: clean(c.KeyRetrievers), Locked: clean(c.LockMessage),
		}
		j.ExpiresIn = secondsTo(c.End, now)
		all = append(all, j)
	}
	return &all
}

func runDestroy(ctx context.Context, m *mpCall) error {
	identity, err := m.owner(ctx)
	if err != nil {
		return err
	}
	user, err := m.username(identity.dn)
	if err != nil {
		return err
	}
	client, err := m.client(identity)
	if err != nil {
		return err
	}
	credential := m.credentialName()
	if err := client.Destroy(ctx, myproxy.DestroyRequest{Username: user, CredentialName: credential}); err != nil {
		return err
	}
	if m.c.Bool("json") {
		return m.answer(&mpAnswer{Username: user, CredentialName: credential})
	}
	if credential == "" {
		return m.say("Default MyProxy credential for user %s was successfully removed.", clean(user))
	}
	return m.say("MyProxy credential '%s' for user %s was successfully removed.", clean(credential), clean(user))
}
