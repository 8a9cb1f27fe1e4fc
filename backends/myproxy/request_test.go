package myproxy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func csrUnused(context.Context) ([]byte, error) { return nil, errors.New("not called") }

func TestEncodeRequest(t *testing.T) {
	for _, tc := range []struct {
		name string
		req  LogonRequest
		want string
	}{
		{"the least there is", LogonRequest{Username: "jane", Passphrase: []byte("secret")},
			"VERSION=MYPROXYv2\nCOMMAND=0\nUSERNAME=jane\nPASSPHRASE=secret\nLIFETIME=43200\n\x00"},
		{"the PASSPHRASE line is mandatory even when empty", LogonRequest{Username: "jane", Lifetime: time.Hour},
			"VERSION=MYPROXYv2\nCOMMAND=0\nUSERNAME=jane\nPASSPHRASE=\nLIFETIME=3600\n\x00"},
		{"a fraction of a second is rounded up, never to zero", LogonRequest{Username: "jane", Lifetime: time.Millisecond},
			"VERSION=MYPROXYv2\nCOMMAND=0\nUSERNAME=jane\nPASSPHRASE=\nLIFETIME=1\n\x00"},
		{"all fields, in the order of the C client", LogonRequest{
			Username: "jane", Passphrase: []byte("pässword = ok"), CredentialName: "second", Lifetime: 24 * time.Hour,
			VOMS: []string{"atlas:/atlas/Role=production", "dteam"}, VOMSES: []string{`"atlas" "voms" "1" "/CN=voms" "atlas"`}},
			"VERSION=MYPROXYv2\nCOMMAND=0\nUSERNAME=jane\nPASSPHRASE=pässword = ok\nLIFETIME=86400\nCRED_NAME=second\n" +
				"VONAME=atlas:/atlas/Role=production\nVONAME=dteam\nVOMSES=\"atlas\" \"voms\" \"1\" \"/CN=voms\" \"atlas\"\n\x00"},
		{"VOMSES lines mean nothing without a VO", LogonRequest{Username: "jane", VOMSES: []string{`"a" "b" "1" "/CN=c" "a"`}},
			"VERSION=MYPROXYv2\nCOMMAND=0\nUSERNAME=jane\nPASSPHRASE=\nLIFETIME=43200\n\x00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := tc.req.request()
			must(t, err)
			got, err := req.encode()
			if err != nil || string(got) != tc.want {
				t.Errorf("got %q, %v\nwant %q", got, err, tc.want)
			}
		})
	}
}

// All commands share one encoder; here is each with all that it may say, in the
// order of the C client.
func TestEncodeCommands(t *testing.T) {
	policy := Policy{Retriever: "*/CN=r", Renewer: "*/CN=n", TrustedRetriever: "*/CN=t", KeyRetriever: "*/CN=k"}
	pass, next := []byte("secret"), []byte("another")
	put, err := (&PutRequest{Username: "jane", Passphrase: pass, CredentialName: "c", Description: "d e", MaxLifetime: time.Hour,
		Policy: Policy{Retriever: "*/CN=r", Renewer: "*/CN=n", TrustedRetriever: "*/CN=t"}}).request()
	must(t, err)
	store, err := (&StoreRequest{Username: "jane", Passphrase: pass, CredentialName: "c", Description: "d e", Policy: policy}).request()
	must(t, err)
	const five = "USERNAME=jane\nPASSPHRASE=secret\n"
	for _, tc := range []struct {
		req  request
		want string
	}{
		{put, "COMMAND=1\n" + five + "LIFETIME=3600\nRETRIEVER=*/CN=r\nRENEWER=*/CN=n\nCRED_NAME=c\nCRED_DESC=d e\nRETRIEVER_TRUSTED=*/CN=t\n"},
		{request{command: commandInfo, username: "jane"}, "COMMAND=2\nUSERNAME=jane\nPASSPHRASE=\nLIFETIME=0\n"},
		{request{command: commandDestroy, username: "jane", credName: "c"}, "COMMAND=3\nUSERNAME=jane\nPASSPHRASE=\nLIFETIME=0\nCRED_NAME=c\n"},
		{request{command: commandChange, username: "jane", passphrase: pass, newPassphrase: next, credName: "c"},
			"COMMAND=4\n" + five + "NEW_PHRASE=another\nLIFETIME=0\nCRED_NAME=c\n"},
		{store, "COMMAND=5\nUSERNAME=jane\nPASSPHRASE=\nLIFETIME=43200\nRETRIEVER=*/CN=r\nRENEWER=*/CN=n\nCRED_NAME=c\nCRED_DESC=d e\nKEYRETRIEVERS=*/CN=k\nRETRIEVER_TRUSTED=*/CN=t\n"},
		{request{command: commandRetrieve, username: "jane", passphrase: pass, seconds: 43200, credName: "c", trustRoots: true},
			"COMMAND=6\n" + five + "LIFETIME=43200\nCRED_NAME=c\nTRUSTED_CERTS=1\n"},
		{request{command: commandTrustRoots, trustRoots: true}, "COMMAND=7\nUSERNAME=\nPASSPHRASE=\nLIFETIME=0\nTRUSTED_CERTS=1\n"},
	} {
		got, err := tc.req.encode()
		if err != nil || string(got) != "VERSION=MYPROXYv2\n"+tc.want+"\x00" {
			t.Errorf("got %q, %v\nwant %q", got, err, tc.want)
		}
	}
}

// What goes into policies and descriptions is checked as all else, and the whole
// has to fit into one record.
func TestEncodeRefusals(t *testing.T) {
	for _, tc := range []struct {
		change func(*request)
		field  string
	}{
		{func(r *request) { r.description = "has CRED_NAME=zz inside" }, fieldDescription},
		{func(r *request) { r.description = "two\nlines" }, fieldDescription},
		{func(r *request) { r.policy.Renewer = "*\nRETRIEVER=*" }, fieldPolicy},
		{func(r *request) { r.policy.KeyRetriever = "\x00" }, fieldPolicy},
		{func(r *request) { r.newPassphrase = []byte("a\nb") }, fieldNewPassphrase},
		{func(r *request) { r.newPassphrase = make([]byte, maxPassphrase+1) }, fieldNewPassphrase},
		{func(r *request) { r.username = "" }, fieldUsername},
		{func(r *request) { r.description = strings.Repeat("x", maxMessageOut) }, fieldDescription},
	} {
		r := request{command: commandStore, username: "jane", passphrase: []byte(canary)}
		tc.change(&r)
		_, err := r.encode()
		var e *RequestError
		if !errors.As(err, &e) || e.Field != tc.field || strings.Contains(err.Error(), canary) {
			t.Errorf("got %v, want a RequestError for the %s", err, tc.field)
		}
	}
	// One record, to the byte.
	r := request{command: commandStore, username: "jane", passphrase: []byte(canary), newPassphrase: []byte(canary)}
	empty, err := r.encode()
	must(t, err)
	for extra, ok := range map[int]bool{0: true, 1: false} {
		r.description = strings.Repeat("x", maxMessageOut-len(empty)-len("CRED_DESC=\n")+extra)
		msg, err := r.encode()
		if (err == nil) != ok || ok && len(msg) != maxMessageOut {
			t.Errorf("%d bytes, %v", len(msg), err)
		}
	}
}

// Every value that a server would read as another field is refused before a
// connection is made, and the error does not repeat it.
func TestRequestRefusals(t *testing.T) {
	base := func(change func(*LogonRequest)) LogonRequest {
		r := LogonRequest{Username: "jane", Passphrase: []byte("secret"), CSR: csrUnused}
		change(&r)
		return r
	}
	pass := func(s string) LogonRequest { return base(func(r *LogonRequest) { r.Passphrase = []byte(s) }) }
	cases := map[string]struct {
		req   LogonRequest
		field string
	}{
		"empty user":             {base(func(r *LogonRequest) { r.Username = "" }), fieldUsername},
		"user with newline":      {base(func(r *LogonRequest) { r.Username = canary + "\nCOMMAND=3" }), fieldUsername},
		"pass phrase, LF":        {pass(canary + "\n"), fieldPassphrase},
		"pass phrase, CR":        {pass(canary + "\r"), fieldPassphrase},
		"pass phrase, NUL":       {pass(canary + "\x00"), fieldPassphrase},
		"pass phrase, tab":       {pass(canary + "\t"), fieldPassphrase},
		"pass phrase, DEL":       {pass(canary + "\x7f"), fieldPassphrase},
		"pass phrase, too long":  {pass(strings.Repeat(canary, 100)[:maxPassphrase+1]), fieldPassphrase},
		"credential name, LF":    {base(func(r *LogonRequest) { r.CredentialName = canary + "\n" }), fieldCredentialName},
		"VO with newline":        {base(func(r *LogonRequest) { r.VOMS = []string{canary + "\n"} }), fieldVO},
		"empty VO":               {base(func(r *LogonRequest) { r.VOMS = []string{""} }), fieldVO},
		"vomses line with CR":    {base(func(r *LogonRequest) { r.VOMS, r.VOMSES = []string{"a"}, []string{canary + "\r"} }), fieldVOMSES},
		"negative lifetime":      {base(func(r *LogonRequest) { r.Lifetime = -time.Second }), fieldLifetime},
		"overflowing lifetime":   {base(func(r *LogonRequest) { r.Lifetime = 100 * 365 * 24 * time.Hour }), fieldLifetime},
		"more than one record":   {base(func(r *LogonRequest) { r.VOMS, r.VOMSES = []string{"a"}, []string{strings.Repeat("x", maxMessageOut)} }), fieldVOMSES},
		"no certificate request": {base(func(r *LogonRequest) { r.CSR = nil }), "certificate request"},
		"no room for the rest": {base(func(r *LogonRequest) {
			r.Username, r.Passphrase = strings.Repeat("u", maxMessageOut-100), []byte(strings.Repeat("p", maxPassphrase))
		}), fieldUsername},
	}
	for _, token := range tokens {
		cases["pass phrase with "+token] = struct {
			req   LogonRequest
			field string
		}{pass(canary + token + "5x"), fieldPassphrase}
		cases["user with "+token] = struct {
			req   LogonRequest
			field string
		}{base(func(r *LogonRequest) { r.Username = canary + token }), fieldUsername}
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := &Client{Hosts: []string{"localhost:1"}, Dial: noDial(t)}
			_, err := c.Logon(t.Context(), tc.req)
			var e *RequestError
			if !errors.As(err, &e) || e.Field != tc.field {
				t.Fatalf("got %v, want a RequestError for the %s", err, tc.field)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error repeats the value: %v", err)
			}
		})
	}
	if err := CheckPassphrase([]byte(strings.Repeat("x", maxPassphrase))); err != nil {
		t.Errorf("the longest pass phrase that a server keeps is refused: %v", err)
	}
}

func TestHostsRefused(t *testing.T) {
	req := LogonRequest{Username: "jane", CSR: csrUnused}
	for _, hosts := range [][]string{nil, {"myproxy.example.org"}, {":7512"}, {"ok:1", "host:"}} {
		c := &Client{Hosts: hosts, Dial: noDial(t)}
		var e *RequestError
		if _, err := c.Logon(t.Context(), req); !errors.As(err, &e) {
			t.Errorf("%q: got %v, want a RequestError before the first connection", hosts, err)
		}
	}
}
