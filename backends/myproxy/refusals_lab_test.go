package myproxy

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// TestRealChallenges: a server may want another proof although a pass phrase was
// sent. That says nothing about the pass phrase, so it is no reason to ask the
// user for another, or to think that the account is about to be locked.
func TestRealChallenges(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	p := newPeople(t)
	open := func(t *testing.T, m *lab.MyProxy) {
		_, err := p.client(m, "alice").Put(t.Context(), PutRequest{Username: "alice", NoPassphrase: true, Policy: Policy{Renewer: "*"}})
		must(t, err)
	}
	for name, tc := range map[string]struct {
		options lab.MyProxyOptions
		prepare func(*testing.T, *lab.MyProxy)
		pass    string
		kind    Kind
		code    helper.Code
		wanted  string
	}{
		"a credential without a pass phrase":           {lab.MyProxyOptions{}, open, canary, KindDenied, helper.CodeAuthorizationDenied, "X509_certificate or X509_certificate_SHA256"},
		"the same, none was sent":                      {lab.MyProxyOptions{}, open, "", KindAuthentication, helper.CodeAuthenticationFailed, "X509_certificate or X509_certificate_SHA256"},
		"SASL is required, the pass phrase was right":  {lab.MyProxyOptions{Policy: map[string][]string{"sasl": {"required"}}}, nil, canary, KindDenied, helper.CodeAuthorizationDenied, "SASL"},
		"SASL would do, for what has no pass phrase":   {lab.MyProxyOptions{Policy: map[string][]string{"sasl": {"sufficient"}}}, open, canary, KindDenied, helper.CodeAuthorizationDenied, "SASL or X509_certificate"},
		"SASL would do, and so does the pass phrase":   {lab.MyProxyOptions{Policy: map[string][]string{"sasl": {"sufficient"}}}, nil, canary, "", "", ""},
		"SASL would do, and the pass phrase was wrong": {lab.MyProxyOptions{Policy: map[string][]string{"sasl": {"sufficient"}}}, nil, "wrong pass phrase", KindAuthentication, helper.CodeAuthenticationFailed, "invalid credential passphrase"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.options.CA = p.ca
			m := lab.StartMyProxy(t, tc.options)
			if tc.prepare != nil {
				tc.prepare(t, m)
			} else {
				_, err := p.client(m, "alice").Put(t.Context(), PutRequest{Username: "alice", Passphrase: []byte(canary)})
				must(t, err)
			}
			req := LogonRequest{Username: "alice", Passphrase: []byte(tc.pass)}
			_, err := logonAs(t.Context(), realClient(m), req)
			if tc.kind == "" {
				must(t, err)
				return
			}
			wantRefusal(t, req, err, tc.kind, tc.code, tc.wanted)
		})
	}
}

// wantRefusal looks at an error as callers of the library and of the helper do.
func wantRefusal(t *testing.T, req LogonRequest, err error, kind Kind, code helper.Code, words string) {
	t.Helper()
	var said *ServerError
	if !errors.As(err, &said) || said.Kind != kind || !said.Says(words) {
		t.Errorf("got %v (%+v), want %q and %s", err, said, words, kind)
		return
	}
	profile := &helper.Profile{Name: "lab"}
	if e := asHelperError(context.Background(), profile, &req, err); e.Code != code {
		t.Errorf("code %s, want %s", e.Code, code)
	}
}

// TestRealLuckyPadding: what a wrong pass phrase decrypts looks well padded once
// in 256 keys, and the server then complains about a key that it cannot read. It
// is a refused pass phrase all the same, which must not be sent again.
func TestRealLuckyPadding(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	p := newPeople(t)
	m := lab.StartMyProxy(t, lab.MyProxyOptions{CA: p.ca})
	text := p.encrypted("alice", canary)
	_, err := p.client(m, "alice").Store(t.Context(), StoreRequest{
		Username: "alice", Passphrase: []byte(canary), Certificate: text, Key: text, Policy: Policy{KeyRetriever: "*"},
	})
	must(t, err)
	block, err := onlyKey(text)
	must(t, err)
	key, _ := pem.Decode(block)
	seen := false
	for i, found := 0, 0; found < 8 && i < 1<<14; i++ {
		pass := fmt.Sprint("wrong pass phrase ", i)
		//lint:ignore SA1019 The form that servers keep; this is about its padding.
		if _, err := x509.DecryptPEMBlock(key, []byte(pass)); err != nil {
			continue
		}
		found++
		req := LogonRequest{Username: "alice", Passphrase: []byte(pass)}
		_, err := logonAs(t.Context(), realClient(m), req)
		wantRefusal(t, req, err, KindAuthentication, helper.CodeAuthenticationFailed, "invalid credential passphrase")
		_, err = realClient(m).Retrieve(t.Context(), RetrieveRequest{Username: "alice", Passphrase: []byte(pass)})
		wantRefusal(t, req, err, KindAuthentication, helper.CodeAuthenticationFailed, "invalid credential passphrase")
		seen = seen || strings.Contains(fmt.Sprint(err), "Error reading private key")
	}
	if !seen {
		t.Error("no pass phrase was found for which the server cannot read the key")
	}
	_, err = logonAs(t.Context(), realClient(m), LogonRequest{Username: "alice", Passphrase: []byte(canary)})
	must(t, err)
}

// A refused proof comes with lines of OpenSSL's among those that count.
func TestRealWrongProof(t *testing.T) {
	lab.Require(t, lab.MyProxyServer)
	p := newPeople(t)
	m := lab.StartMyProxy(t, lab.MyProxyOptions{CA: p.ca})
	_, err := p.client(m, "alice").Put(t.Context(), PutRequest{Username: "alice", NoPassphrase: true, Policy: Policy{Renewer: "*"}})
	must(t, err)
	wrong := &gsi.Credential{Chain: p.known["alice-proxy"].Chain, Key: newKey(t)}
	c := realClient(m)
	c.Identity = identityOf(p.known["scheduler"])
	_, err = logonAs(t.Context(), c, LogonRequest{Username: "alice", Renew: wrong})
	var said *ServerError
	if !errors.As(err, &said) || said.Kind != KindAuthentication || !said.Says("certificate verification failed") || slices.Contains(said.Texts, "") {
		t.Errorf("got %+v, %v", said, err)
	}
}
