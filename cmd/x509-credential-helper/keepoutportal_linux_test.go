package main

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// portalSecrets are the random parts of what the portal and we said to each
// other in confidence: the client's secret, codes, tokens, PKCE verifiers.
func (p *portalWorld) portalSecrets() map[string]string {
	found := map[string]string{canary: "client secret"}
	for _, call := range p.portal.Calls("") {
		for _, values := range []url.Values{call.Form, call.Query} {
			for _, field := range []string{"code", "code_verifier", "refresh_token", "access_token", "token"} {
				for _, value := range values[field] {
					parts := strings.Split(value, "/") // URL/KIND/NUMBER/TIME
					if len(parts) > 2 {
						value = parts[len(parts)-2]
					}
					found[value] = field
				}
			}
		}
	}
	return found
}

// repeat makes an endpoint refuse, with all that it was told in its words.
func repeat(endpoint string, p *sandbox.Portal) sandbox.PortalFaults {
	return sandbox.PortalFaults{Endpoint: endpoint, Answer: func(a *sandbox.PortalAnswer) {
		calls := p.Calls(endpoint)
		a.Status = 400
		a.Body = []byte(fmt.Sprintf(`{"error":"invalid_request","error_description":"what is %s, %v?"}`, calls[len(calls)-1].Form.Encode(), calls[len(calls)-1].Form))
	}}
}

// TestKeepOutPortal: the client's secret, codes, verifiers and tokens are nowhere
// but in the keyring and on the way to the portal: not in what is printed, good
// or bad, not in the page, nor in arguments and environments of the processes
// that we start, nor in files, in no encoding.
func TestKeepOutPortal(t *testing.T) {
	keyring := lab.StartKeyring(t)
	w := newPortalWorld(t, keyring)
	k := &keepOut{w.world, map[string]string{}}
	request := fmt.Sprintf(`{"secret":{"kind":"client_secret","value":%q}}`, portalSecret)
	k.run(request, "store")
	k.run(strings.Replace(request, "}}", `,"extra":1}}`, 1), "store")
	opened := w.withBrowser()
	login := func(faults sandbox.PortalFaults) result {
		_ = os.Remove(opened)
		w.portal.SetFaults(faults) // for as long as it takes: getproxy is asked more than once
		defer w.portal.SetFaults(sandbox.PortalFaults{})
		c := w.start(w.command("login"))
		address := w.address(opened)
		k.add("the address", address)
		k.process(c.cmd.Process.Pid)
		_, page, err := w.portal.Browser().Login(t.Context(), address)
		k.add("a page", page)
		if err != nil {
			t.Error(err)
		}
		r := c.wait()
		k.add("login", r.stdout+r.stderr)
		return r
	}
	for _, endpoint := range []string{"token", "userinfo", "getproxy"} {
		if r := login(repeat(endpoint, w.portal)); r.status == 0 {
			t.Errorf("%s refused, and still %+v", endpoint, r)
		}
	}
	if r := login(sandbox.PortalFaults{}); r.status != 0 {
		t.Fatalf("login: %+v", r)
	}
	const fresh = `{"cache":"bypass"}`
	k.run("", "exec", "--", "sh", "-c", "cat /proc/$$/environ /proc/$$/cmdline")
	k.run(fresh, "get")
	for _, endpoint := range []string{"getproxy", "token"} {
		w.portal.Next(repeat(endpoint, w.portal))
		if r := k.run(fresh, "get"); r.status == 0 {
			t.Errorf("%s refused, and still %+v", endpoint, r)
		}
	}
	w.portal.Next(sandbox.PortalFaults{Endpoint: "token", CloseAfter: true})
	k.run(fresh, "get") // the answer is lost
	k.files()
	k.run(fresh, "get") // and the session with it
	login(sandbox.PortalFaults{})
	for _, command := range [][]string{{"rcauth", "userinfo"}, {"rcauth", "info", "--json"}, {"status"}, {"status", "--json"}, {"rcauth", "revoke"}, {"logout"}} {
		k.run("", command...)
		k.files()
	}
	k.below(keyring.Home) // the sealed cache, the keyring's own file
	looked := 0
	secrets := w.portalSecrets()
	for where, text := range k.seen {
		looked += len(text)
		for value, what := range secrets {
			for _, form := range forms([]byte(value)) {
				if strings.Contains(text, form) {
					t.Errorf("the %s shows as %q in %.100s: %.500q", what, form, where, text)
				}
			}
		}
	}
	kinds := map[string]bool{}
	for _, what := range secrets {
		kinds[what] = true
	}
	if looked < 10000 || len(kinds) < 5 {
		t.Errorf("only %d bytes were looked at, for %v", looked, kinds)
	}
}
