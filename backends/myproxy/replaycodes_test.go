package myproxy

import (
	"errors"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// Each recorded refusal gets the code that the protocol gives it.
func TestRecordedCodes(t *testing.T) {
	want := map[string]helper.Code{
		"get-wrong-passphrase":               helper.CodeAuthenticationFailed,
		"get-wrong-passphrase-tls12":         helper.CodeAuthenticationFailed,
		"get-empty-passphrase":               helper.CodeAuthenticationFailed,
		"get-after-change-old-passphrase":    helper.CodeAuthenticationFailed,
		"get-passphrase-unencrypted":         helper.CodeAuthenticationFailed,
		"get-ca-wrong-password":              helper.CodeAuthenticationFailed,
		"get-ca-empty-password":              helper.CodeAuthenticationFailed,
		"get-ca-unknown-user":                helper.CodeAuthenticationFailed,
		"get-unknown-user":                   helper.CodeAuthenticationFailed,
		"get-unknown-credential-name":        helper.CodeNotFound,
		"get-locked":                         helper.CodeAuthorizationDenied,
		"get-policy-refused":                 helper.CodeAuthorizationDenied,
		"get-bad-csr":                        helper.CodeServerRefused,
		"get-cannot-delegate":                helper.CodeServerRefused,
		"get-ca-p256-refused":                helper.CodeServerRefused,
		"get-stored-expired":                 helper.CodeServerRefused,
		"get-voname-vomses-unreachable":      helper.CodeServerRefused,
		"clear-text-refusal-tls12":           helper.CodeServerRefused,
		"clear-text-refusal-tls13":           helper.CodeServerRefused,
		"clear-text-refusal-delegation-flag": helper.CodeServerRefused,
	}
	for _, r := range append(recordings(t, "get-*.json"), recordings(t, "clear-text-*.json")...) {
		t.Run(r.Name, func(t *testing.T) {
			req := r.request(t)
			p := r.replay(t, asRecorded, strings.HasPrefix(r.Name, "get-") && r.ClientCert == "none" && !req.TrustRoots)
			s := spec(profile(helper.Settings{keyServer: []string{p.addr}, keyUsername: req.Username, keyCredName: req.CredentialName}),
				string(req.Passphrase), req)
			s.Trust = r.trust
			s.Profile.VOMSES = req.VOMSES
			for _, vo := range req.VOMS {
				v, err := voms.ParseRequest(vo)
				must(t, err)
				s.VOMS = append(s.VOMS, v)
			}
			got, err := New(Options{Getenv: env{}.get, Clock: r.clock, SystemVOMSES: "/nonexistent"}).Obtain(t.Context(), s)
			texts, _ := r.outcome(t)
			wanted := codeOfWords(t, texts)
			if strings.HasPrefix(r.End, endClearText) {
				wanted = helper.CodeServerRefused // anybody could have written it
			}
			named, known := want[r.Name]
			if known && named != wanted {
				t.Fatalf("by its name this is %s, by the server's words %s", named, wanted)
			}
			if !known && wanted != "" && code(err) == helper.CodeNotConfigured {
				return // not a word of it is sent
			}
			if told := <-p.told; told != nil {
				t.Errorf("what the server was told: %v", told)
			}
			if wanted == "" {
				if err != nil || len(got.Chain) == 0 || got.Server != p.addr {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if code(err) != wanted {
				t.Fatalf("got %s (%v), want %s", code(err), err, wanted)
			}
			var e *helper.Error
			errors.As(err, &e)
			if !strings.Contains(e.Message, texts[0]) || e.Retryable || e.Profile != "test" || e.Backend != Name {
				t.Errorf("got %+v, the server said %q", e, texts)
			}
		})
	}
}

// codeOfWords is the code for a server's words: "" for none. It is not the table
// under test, and knows a recording by what is in it, whatever its name.
func codeOfWords(t *testing.T, texts []string) helper.Code {
	t.Helper()
	all := strings.Join(texts, "\n")
	if all == "" {
		return ""
	}
	for _, w := range []struct {
		words string
		code  helper.Code
	}{
		{"credential locked", helper.CodeAuthorizationDenied},
		{"not authorized by", helper.CodeAuthorizationDenied},
		{"No credentials exist with username", helper.CodeNotFound},
		{"No credentials exist for username", helper.CodeAuthenticationFailed},
		{"invalid credential passphrase", helper.CodeAuthenticationFailed},
		{"no passphrase", helper.CodeAuthenticationFailed},
		{"PAM authentication failed", helper.CodeAuthenticationFailed},
		{"unknown username", helper.CodeAuthenticationFailed},
		{"authentication failed", helper.CodeAuthenticationFailed},
		{"Certificate generation failure", helper.CodeServerRefused},
		{"Unable to delegate", helper.CodeServerRefused},
		{"certificate has expired", helper.CodeServerRefused},
		{"VOMS User Information", helper.CodeServerRefused},
	} {
		if strings.Contains(all, w.words) {
			return w.code
		}
	}
	t.Fatalf("nothing says what code %q shall have", all)
	return ""
}
