package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// conformVar names another helper that TestConformance judges, split at blanks.
const conformVar = "X509CH_CONFORM"

// understood is no code: the request is good, so that only the helper's
// configuration decides what is answered.
const understood helper.Code = "(understood)"

// conformance is what every helper does, whatever it is configured for.
var conformance = []struct {
	verb, request string
	code          helper.Code
	names         string // what the message names
}{
	{"capabilities", ``, "", ""},
	{"capabilities", `no JSON at all`, "", ""},
	{"get", `{}`, understood, ""},
	{"get", ``, understood, ""},
	{"get", ` {"version":1} {"version":7} whatever`, understood, ""},
	{"get", `{"url":"root://se.example.org//data","min_lifetime":0,"cache":"only","output":"path","interactive":"never","timeout":5}`, understood, ""},
	{"get", `{"client":{"name":"conformance","version":"1.0"},"cache":"only","voms":[],"lifetime":3600}`, understood, ""},
	{"get", `{"moon":"full","optional":["moon"],"cache":"only"}`, understood, ""},
	{"get", `{"moon":"full"}`, helper.CodeUnsupportedFeature, "moon"},
	{"get", `{"Limited":true}`, helper.CodeUnsupportedFeature, "Limited"},
	{"get", `{"cache":"maybe"}`, helper.CodeUnsupportedFeature, "cache"},
	{"get", `{"version":99}`, helper.CodeUnsupportedVersion, ""},
	{"get", `{"version":"1"}`, helper.CodeInvalidRequest, "version"},
	{"get", `{"cache":"only","cache":"only"}`, helper.CodeInvalidRequest, "cache"},
	{"get", `{"limited":"true"}`, helper.CodeInvalidRequest, "limited"},
	{"get", `{"min_lifetime":-1}`, helper.CodeInvalidRequest, "min_lifetime"},
	{"get", `{"timeout":3601}`, helper.CodeInvalidRequest, "timeout"},
	{"get", `{"lifetime":1.5}`, helper.CodeInvalidRequest, "lifetime"},
	{"get", `{"url":"root://user@se.example.org//data"}`, helper.CodeInvalidRequest, "url"},
	{"get", `{"url":"root://se.example.org//a/../b"}`, helper.CodeInvalidRequest, "url"},
	{"get", `{"profile":"../etc"}`, helper.CodeInvalidRequest, "profile"},
	{"get", `{"client":{"name":"\u001b[31m"}}`, helper.CodeInvalidRequest, "client"},
	{"get", `[]`, helper.CodeInvalidRequest, ""},
	{"get", `{"cache":"only"`, helper.CodeInvalidRequest, ""},
	{"get", "{\"profile\":\"\xff\"}", helper.CodeInvalidRequest, ""},
	{"get", `{"moon":"` + strings.Repeat("x", helper.MaxRequest) + `"}`, helper.CodeInvalidRequest, ""},
	{"store", `{}`, helper.CodeInvalidRequest, "secret"},
	{"store", `{"secret":{"kind":"passphrase","value":"a\nb"}}`, helper.CodeInvalidRequest, "secret"},
	{"store", `{"secret":{"kind":"passphrase","value":""}}`, helper.CodeInvalidRequest, "secret"},
	{"store", `{"secret":{"kind":"rumour","value":"x"}}`, helper.CodeUnsupportedFeature, "secret.kind"},
	{"erase", `{"what":["everything"]}`, helper.CodeUnsupportedFeature, "what"},
	{"erase", `{"reason":"rejected"}`, helper.CodeInvalidRequest, "fingerprint"},
	{"erase", `{"fingerprint":"sha256:0"}`, helper.CodeInvalidRequest, "fingerprint"},
	{"list", `{}`, understood, ""},
	{"list", `{"profile":"atlas"}`, helper.CodeUnsupportedFeature, "profile"},
	{"fetch", `{}`, helper.CodeUnsupportedVerb, "fetch"},
}

// TestConformance holds the protocol against this program, or against any other
// helper:
//
//	X509CH_CONFORM="my-helper --option" go test -run TestConformance ./cmd/x509-credential-helper
//
// Nothing is stored, and nothing erased.
func TestConformance(t *testing.T) {
	command := strings.Fields(os.Getenv(conformVar))
	env := os.Environ()
	if len(command) == 0 {
		command = []string{name}
		env = append(env, raceExit, "HOME="+t.TempDir(), "XDG_CONFIG_HOME=/nonexistent", "XDG_CACHE_HOME=", "X509_CREDENTIAL_HELPER_CONFIG=",
			"DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent/bus", "X509_CREDENTIAL_HELPER_STORE=file")
	}
	for _, test := range conformance {
		for _, open := range []bool{false, true} {
			if open && !strings.HasSuffix(test.request, "}") {
				continue // only a complete object needs no end
			}
			cmd := exec.Command(command[0], append(command[1:len(command):len(command)], test.verb)...)
			cmd.Env = env
			answer, code, status := converse(t, cmd, test.request, open)
			what := test.verb + " " + test.request[:min(len(test.request), 60)]
			if !fits(code, test.code) || !bytes.Contains(answer, []byte(test.names)) {
				t.Errorf("%s: expected %q naming %q, answered %s", what, test.code, test.names, answer)
			}
			if known := code.ExitStatus(); code != "" && status != known || code == "" && status != 0 {
				t.Errorf("%s: exit status %d with %q", what, status, code)
			}
			schema := test.verb
			if code != "" {
				schema = "error"
			}
			if err := promised(t, schema+".answer", answer); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// fits says whether an answer's code is what the table says.
func fits(code, want helper.Code) bool {
	if want != understood {
		return code == want
	}
	return !slices.Contains([]helper.Code{helper.CodeInternal, helper.CodeInvalidRequest, helper.CodeUnsupportedFeature,
		helper.CodeUnsupportedVersion, helper.CodeUnsupportedVerb}, code)
}

// converse runs a helper once. Where its input stays open, as careless callers
// leave it, it answers all the same.
func converse(t *testing.T, cmd *exec.Cmd, request string, open bool) (answer []byte, code helper.Code, status int) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_, _ = io.WriteString(in, request) // one that is too long is not read to its end
	if !open {
		_ = in.Close()
	}
	_ = cmd.Wait() // closes in
	a, err := oneObject(out.String())
	if err != nil {
		t.Fatalf("%s %.60s: standard output is not one object: %v\n%.300q", cmd.Args, request, err, out.String())
	}
	if a.Error != nil {
		code = helper.Code(a.Error.Code)
	}
	return out.Bytes(), code, cmd.ProcessState.ExitCode()
}

// promised says whether an answer keeps docs/schema as callers read it, who pass
// over what they do not know.
func promised(t *testing.T, schema string, answer []byte) error {
	t.Helper()
	compiled, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "schema", schema+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return validate(compiled, answer)
}
