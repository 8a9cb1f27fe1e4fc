package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

func runChange(ctx context.Context, m *mpCall) error {
	identity, err := m.owner(ctx)
	if err != nil {
		return err
	}
	request := myproxy.ChangeRequest{CredentialName: m.credentialName()}
	if request.Username, err = m.username(identity.dn); err != nil {
		return err
	}
	client, err := m.client(identity)
	if err != nil {
		return err
	}
	if request.Old, request.New, err = m.bothPassphrases(ctx, request.Username, client.Hosts); err != nil {
		return err
	}
	err = client.ChangePassphrase(ctx, request)
	m.judge(ctx, request.Old, err)
	if err != nil {
		return err
	}
	m.unlock() // the entry is about to be written
	kept := m.replaceKept(ctx, client.Hosts, request)
	if m.c.Bool("json") {
		return m.answer(&mpAnswer{Username: request.Username, CredentialName: request.CredentialName, Keyring: kept})
	}
	if err := m.say("Pass phrase changed."); err != nil || len(kept.Replaced) == 0 {
		return err
	}
	return m.say("It is replaced in the keyring, for profile %s.", strings.Join(kept.Replaced, ", "))
}

func (m *mpCall) bothPassphrases(ctx context.Context, user string, hosts []string) (old, replacement secret.Secret, err error) {
	if m.c.Bool("stdin-pass") {
		if old, err = m.line(ctx); err == nil {
			replacement, err = m.line(ctx)
		}
		return old, replacement, err
	}
	who := fmt.Sprintf("pass phrase of %q at %s: ", user, showHosts(hosts))
	askOld, askNew := "Present MyProxy "+who, "New "+who
	if m.p.standsForC() {
		askOld, askNew = cAskOld, cAskNew
	}
	if old, err = m.kept(ctx, user, hosts); err == nil && old == nil {
		old, err = m.ask(ctx, askOld)
	}
	if err != nil {
		return nil, nil, err
	}
	replacement, err = m.newPassphrase(ctx, askNew)
	return old, replacement, err
}

// replaceKept writes the new pass phrase over the old one wherever the keyring
// has it for a profile of that server, user and credential. The server has
// agreed, so what goes wrong here is said and is no failure.
func (m *mpCall) replaceKept(ctx context.Context, hosts []string, r myproxy.ChangeRequest) *mpKeyringAnswer {
	a := &mpKeyringAnswer{Replaced: []string{}, Failed: []string{}}
	h := m.p.newHelper("login")
	done := map[string]bool{}
	for _, p := range h.Config.Profiles() {
		account, ok := keptFor(h, p, hosts, r)
		if !ok || h.Config.Store.Passphrases != cache.Keyring {
			continue
		}
		replaced, err := done[account], error(nil)
		if !replaced {
			replaced, err = replaceOne(ctx, h.Cache, account, r.New)
		}
		switch {
		case err != nil:
			a.Failed = append(a.Failed, p.Name)
			m.p.complain(fmt.Sprintf("the pass phrase is changed on the server, but the old one is still in the keyring for profile %q: %s", p.Name, clean(err.Error())),
				fmt.Sprintf("run: %s login %s", name, p.Name))
		case replaced:
			done[account] = true
			a.Replaced = append(a.Replaced, p.Name)
		}
	}
	return a
}

// keptFor finds the keyring's entry of a profile, if that is of the server, user
// and credential.
func keptFor(h *helper.Helper, p *helper.Profile, hosts []string, r myproxy.ChangeRequest) (account string, ok bool) {
	if p.Backend != myproxy.Name {
		return "", false
	}
	target, err := h.Backends[myproxy.Name].Target(p)
	if err != nil || target.Principal != r.Username || target.CredentialName != r.CredentialName || accountOf(target) == "" {
		return "", false
	}
	same := slices.ContainsFunc(strings.Split(target.Endpoint, ","), func(host string) bool { return slices.Contains(hosts, host) })
	return accountOf(target), same
}

// replaceOne says whether there was one to replace.
func replaceOne(ctx context.Context, c *cache.Cache, account string, value secret.Secret) (bool, error) {
	lock, err := c.LockSecret(ctx, account)
	if err != nil {
		return false, err
	}
	defer func() { _ = lock.Close() }()
	switch _, err := lock.Get(ctx); {
	case errors.Is(err, cache.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := lock.Put(ctx, value); err != nil {
		return false, err
	}
	_ = lock.Accept() // what was said of the old one does not hold for the new one
	return true, nil
}
