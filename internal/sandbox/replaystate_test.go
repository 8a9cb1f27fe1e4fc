package sandbox

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// state fills the repository with what a recording shows to have been there.
func (l *recordedLab) state(t *testing.T, s *Sandbox, r *recording, request *request) {
	t.Helper()
	o := outcomeOf(r)
	switch {
	case s.opts.Mode == CA:
		if err := s.AddUser(User{Name: "alice", CommonName: "Alice Example", Passphrase: "example-login-password-not-real"}); err != nil {
			t.Fatal(err)
		}
		return
	case request.command == commandInfo && o.ok:
		l.listed(t, s, r, request, o.first)
		return
	case request.command == commandInfo && r.Client == "alice",
		(request.command == commandPut || request.command == commandStore) && !o.says("already stored"),
		o.says("No credentials exist"), o.says("Credentials do not exist"),
		r.Client == "alice" && o.says("does not own"): // hers are all
		return
	}
	l.deposit(t, s, r, request, o)
}

// recordedOutcome is what the server said in a recording.
type recordedOutcome struct {
	ok         bool   // the first response was RESPONSE=0
	challenged bool   // it was a challenge
	first      string // response
	texts      string // all of them
	granted    []*x509.Certificate
	file       []byte
}

func outcomeOf(r *recording) *recordedOutcome {
	o := new(recordedOutcome)
	for _, m := range r.Messages {
		switch {
		case m.From != "server" || len(m.data) < 2:
		case bytes.HasPrefix(m.data, []byte("VERSION")):
			if o.first == "" {
				o.first = string(m.data)
			}
			o.texts += string(m.data)
		case bytes.HasPrefix(m.data, []byte("-----BEGIN")):
			o.file = m.data
		default:
			if certs, err := parseDelegation(m.data); err == nil {
				o.granted = certs
			}
		}
	}
	o.ok = strings.Contains(o.first, "RESPONSE=0\n")
	o.challenged = strings.Contains(o.first, "RESPONSE=2\n")
	return o
}

func (o *recordedOutcome) says(text string) bool { return strings.Contains(o.texts, text) }

// deposit stores the one credential that a recording is about.
func (l *recordedLab) deposit(t *testing.T, s *Sandbox, r *recording, request *request, o *recordedOutcome) {
	t.Helper()
	owner := "alice"
	if r.Client != "none" && o.ok && request.command != commandGet && request.command != commandRetrieve {
		owner = strings.TrimSuffix(r.Client, "-proxy")
	}
	c := l.stored(t, r, o, l.people[owner])
	if o.says("Unable to delegate") && r.validRequest() {
		// Nothing can be signed below what an elliptic key has signed.
		c = l.below(t, l.people["eve"], oidInheritAll, r.RecordedAt, r.RecordedAt.Add(24*time.Hour))
	}
	file, err := newCredentialFile(c.Chain, c.Key, passphraseOf(request, o))
	if o.file != nil {
		file, err = parseCredentialFile(bytes.TrimSuffix(o.file, []byte{0}))
	}
	if err != nil {
		t.Fatal(err)
	}
	dn, err := gsi.OneLine(l.people[owner].Chain[0].RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	cred := &credential{username: request.username, name: request.credName, owner: dn, file: file, lifetime: limitOf(r, request, o)}
	cred.settings = policiesOf(request, o)
	if _, message, locked := strings.Cut(o.texts, "ERROR=credential locked\nERROR="); locked {
		line, _, _ := strings.Cut(message, "\n")
		cred.lock = &line
	}
	s.keep(cred)
}

// validRequest is false if the client sent no certificate request.
func (r *recording) validRequest() bool {
	return slices.ContainsFunc(r.Messages, func(m recordedMessage) bool {
		_, err := x509.ParseCertificateRequest(m.data)
		return m.From == "client" && err == nil
	})
}

// stored is the chain below which the recorded proxy was made, or else an
// ordinary proxy.
func (l *recordedLab) stored(t *testing.T, r *recording, o *recordedOutcome, person *gsi.Credential) *gsi.Credential {
	t.Helper()
	now := r.RecordedAt
	switch {
	case len(o.granted) > 1:
		return l.rebuilt(t, o.granted[1:], now)
	case o.says("certificate has expired"):
		return l.below(t, person, oidInheritAll, now.Add(-time.Hour), now.Add(-time.Minute))
	}
	return l.below(t, person, oidInheritAll, now, now.Add(7*24*time.Hour))
}

// passphraseOf is the one that must have been stored.
func passphraseOf(request *request, o *recordedOutcome) string {
	switch {
	case o.says("Bad password"):
		return "another-" + request.passphrase
	case o.says("ERROR=invalid pass phrase"): // a wrong one for a key that has none
		return ""
	case o.says("invalid credential passphrase") && request.passphrase == "":
		return goodPass
	case o.says("ERROR=authentication failed"), o.challenged:
		return ""
	}
	return request.passphrase
}

// limitOf is the lifetime that was stored: half a day, unless the recorded
// proxy shows another.
func limitOf(r *recording, request *request, o *recordedOutcome) int {
	const usual = 43200
	if len(o.granted) > 1 && request.lifetime == 0 && o.granted[0].NotAfter.Equal(o.granted[1].NotAfter) {
		return 0
	}
	if len(o.granted) < 2 || o.granted[0].NotAfter.Equal(o.granted[1].NotAfter) {
		return usual
	}
	granted := int(o.granted[0].NotAfter.Sub(r.RecordedAt).Round(time.Minute).Seconds())
	if request.lifetime == 0 || granted < min(request.lifetime, usual) {
		return granted
	}
	return usual
}

// policiesOf are the credential's own, as far as the answers tell them.
func policiesOf(request *request, o *recordedOutcome) settings {
	anybody, nobody := "*", "none"
	var own settings
	for _, p := range []struct {
		name  string
		value **string
		let   bool
	}{
		{"authorized_retrievers", &own.retriever, false},
		{"authorized_renewers", &own.renewer, o.challenged},
		{"authorized_key_retrievers", &own.keyRetriever, request.command == commandRetrieve && !o.says("default authorized_key_retrievers")},
		{"trusted_retrievers", &own.trustedRetriever, o.ok && request.passphrase == ""},
	} {
		switch {
		case o.says("not authorized by credential's " + p.name):
			*p.value = &nobody
		case p.let:
			*p.value = &anybody
		}
	}
	return own
}

// listed stores what a recorded INFO lists.
func (l *recordedLab) listed(t *testing.T, s *Sandbox, r *recording, request *request, response string) {
	t.Helper()
	fields := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimRight(response, "\n\x00"), "\n") {
		name, value, _ := strings.Cut(line, "=")
		fields[name] = value
	}
	prefixes := map[string]*string{"CRED_": nil}
	if name, found := fields["CRED_NAME"]; found {
		prefixes["CRED_"] = &name
	}
	if more, found := fields["ADDL_CREDS"]; found {
		for name := range strings.SplitSeq(more, ",") {
			prefixes["CRED_"+name+"_"] = &name
		}
	}
	for prefix, name := range prefixes {
		field := func(suffix string) *string {
			if value, found := fields[prefix+suffix]; found {
				return &value
			}
			return nil
		}
		seconds, err := strconv.ParseInt(fields[prefix+"END_TIME"], 10, 64)
		person := l.people[fields[prefix+"OWNER"]]
		if err != nil || person == nil {
			t.Fatalf("%sEND_TIME or %sOWNER: %v", prefix, prefix, err)
		}
		if end := time.Unix(seconds, 0); end.Before(person.Chain[0].NotAfter) {
			start, err := strconv.ParseInt(fields[prefix+"START_TIME"], 10, 64)
			if err != nil {
				t.Fatalf("%sSTART_TIME: %v", prefix, err)
			}
			person = l.below(t, person, oidInheritAll, time.Unix(start, 0).Add(skew), end)
		}
		file, err := newCredentialFile(person.Chain, person.Key, goodPass)
		if err != nil {
			t.Fatal(err)
		}
		s.keep(&credential{
			username: request.username, name: name, owner: fields[prefix+"OWNER"], file: file, lock: field("LOCKMSG"),
			settings: settings{
				description: field("DESC"), retriever: field("RETRIEVER"), renewer: field("RENEWER"),
				keyRetriever: field("KEYRETRIEVERS"), trustedRetriever: field("RETRIEVER_TRUSTED"),
			},
		})
	}
}
