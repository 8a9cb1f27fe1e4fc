package myproxy

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// TestRealVONAME: a real myproxy-server asks a real voms-server for what we ask
// it for, by the vomses line that we send, and what comes is taken for what it is.
func TestRealVONAME(t *testing.T) {
	lab.Require(t, lab.MyProxyServer, lab.MyProxyVOMS, lab.VOMSServer)
	ca := lab.NewCA(t, "X509CH Lab")
	alice, bob := ca.User("alice"), ca.User("bob")
	v := lab.StartVOMS(t, ca, lab.VOMSOptions{
		Members: []lab.VOMSMember{{User: alice, FQANs: []string{"/labvo/team", "/labvo/Role=production"}}},
	})
	m := lab.StartMyProxy(t, lab.MyProxyOptions{CA: ca})
	m.Store("alice", canary, alice)
	m.Store("bob", canary, bob)
	vomses, err := os.ReadFile(v.Vomses)
	must(t, err)
	c := realClient(m)
	c.Hosts = []string{m.BesideVOMS(v)}
	owner := *c
	owner.Identity = identityOf((*gsi.Credential)(alice))
	_, err = owner.Put(t.Context(), PutRequest{Username: "put", Passphrase: []byte(canary)})
	must(t, err)
	signers, err := voms.OpenDir(v.VOMSDir)
	must(t, err)
	trust, err := c.Trust()
	must(t, err)
	for name, tc := range map[string]struct {
		user, vo string
		first    string // FQAN
		fails    string
	}{
		"a VO":                      {user: "alice", vo: "labvo", first: "/labvo"},
		"a role":                    {user: "alice", vo: "labvo:/labvo/Role=production", first: "/labvo/Role=production"},
		"a group":                   {user: "alice", vo: "labvo:/labvo/team", first: "/labvo/team"},
		"from a stored proxy":       {user: "put", vo: "labvo", first: "/labvo"},
		"who is no member":          {user: "bob", vo: "labvo", fails: "Couldn't get VOMS User Information"},
		"a role that she is not in": {user: "alice", vo: "labvo:/labvo/Role=pilot", fails: "Couldn't get VOMS User Information"},
		"another VO":                {user: "alice", vo: "othervo", fails: "Couldn't get VOMS User Information"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.GetDelegation(t.Context(), DelegationRequest{LogonRequest: LogonRequest{
				Username: tc.user, Passphrase: []byte(canary), VOMS: []string{tc.vo}, VOMSES: []string{strings.TrimSpace(string(vomses))},
			}, KeyKind: gsi.KeyP256})
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("got %v", err)
				}
				return
			}
			must(t, err)
			must(t, trust.VerifyVOMS(got.Chain, signers, time.Now(), gsi.TrustOptions{}))
			if len(got.Info.VOMS) != 1 || got.Info.VOMS[0].VO != "labvo" || len(got.Info.VOMS[0].FQANs) == 0 || !strings.HasPrefix(got.Info.VOMS[0].FQANs[0], tc.first) {
				t.Errorf("attributes %+v", got.Info.VOMS)
			}
		})
	}
}

// TestRealOtherAttributes: a server that does not do VOMS says nothing about
// it, and what was stored may carry attributes of its own. They are not those
// that were asked for.
func TestRealOtherAttributes(t *testing.T) {
	lab.Require(t, lab.MyProxyServer, lab.VOMSFake)
	ca := lab.NewCA(t, "X509CH Lab")
	m := lab.StartMyProxy(t, lab.MyProxyOptions{CA: ca, Policy: map[string][]string{"allow_voms_attribute_requests": nil}})
	member, err := gsi.ParseCredential(lab.FakeVOMS(t, ca, ca.User("alice"), lab.FakeVOMSOptions{Args: []string{"-path-length", "5"}}))
	must(t, err)
	c := realClient(m)
	_, err = c.Put(t.Context(), PutRequest{Username: "alice", Passphrase: []byte(canary), Credential: member})
	must(t, err)
	for vo, good := range map[string]bool{"labvo": true, "labvo:/labvo/Role=production": false, "othervo": false} {
		_, err := logonAs(t.Context(), c, LogonRequest{Username: "alice", Passphrase: []byte(canary), VOMS: []string{vo}})
		var missing *voms.MissingError
		if good != (err == nil) || !good && !errors.As(err, &missing) {
			t.Errorf("%s: got %v", vo, err)
		}
	}
}
