package main

import (
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
)

// Hints go by what servers say, all of it, and not by whom they say it to.
func TestMyProxyHints(t *testing.T) {
	const another, administrator = "stored with another certificate", "ask the server's administrator"
	for text, want := range map[string]string{
		`"/C=XX/CN=Jane Brown" not authorized by server's default authorized_key_retrievers policy`: administrator,
		`'/C=XX/CN=Jane Brown' does not own the credentials`:                                        another,
		"Credentials are already stored for user jane\nand they are not owned by\n\"/CN=Bob\",":     another,
		strings.Repeat("more than is shown ", 50) + "\nself-authz not allowed for renewer":          "--anonymous",
	} {
		e := new(mpCall).serverError(&myproxy.ServerError{Server: "localhost:7512", Kind: myproxy.KindDenied, Texts: strings.Split(text, "\n")})
		if !strings.Contains(e.Hint, want) {
			t.Errorf("%.80s: the hint is %q", text, e.Hint)
		}
	}
}
