//go:build unix

package sandbox

import (
	"crypto"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// realPolicy is p as the lines of a configuration.
func realPolicy(p *Policies) map[string][]string {
	lines := map[string][]string{
		"accepted_credentials":       p.AcceptedCredentials,
		"authorized_retrievers":      p.AuthorizedRetrievers,
		"default_retrievers":         p.DefaultRetrievers,
		"authorized_renewers":        p.AuthorizedRenewers,
		"default_renewers":           p.DefaultRenewers,
		"authorized_key_retrievers":  p.AuthorizedKeyRetrievers,
		"default_key_retrievers":     p.DefaultKeyRetrievers,
		"trusted_retrievers":         p.TrustedRetrievers,
		"default_trusted_retrievers": p.DefaultTrustedRetrievers,
	}
	if p.MaxCredentialLifetime > 0 {
		lines["max_cred_lifetime"] = []string{fmt.Sprint(hours(p.MaxCredentialLifetime))}
	}
	return lines
}

// twinsWith starts twins with the same policies.
func twinsWith(t *testing.T, p *Policies, most time.Duration) *twins {
	t.Helper()
	o := twinOptions{real: lab.MyProxyOptions{Policy: realPolicy(p), AllowSelfAuthorization: p.AllowSelfAuthorization}}
	if most > 0 {
		o.real.Policy["max_proxy_lifetime"] = []string{fmt.Sprint(hours(most))}
	}
	o.box = Options{Policies: p, MaxLifetime: most}
	return newTwins(t, o)
}

const (
	schedulerPattern = "RENEWER=*/CN=scheduler\n"
	noPassphrase     = ""
)

// Who may renew and who may fetch without a pass phrase, by what the owner
// said when storing and by what the server allows: the table of the batch
// systems, with every kind of client.
func TestRenewalAsRealServer(t *testing.T) {
	open := OpenPolicies()
	self, only := *open, *open
	self.AllowSelfAuthorization = true
	only.AuthorizedRenewers = []string{"*/CN=scheduler"}
	for name, p := range map[string]*Policies{"everybody": open, "self too": &self, "the scheduler only": &only} {
		t.Run(name, func(t *testing.T) {
			w := twinsWith(t, p, 0)
			for stored, settings := range map[string]string{
				"any":            "RENEWER=*\n",
				"scheduler":      schedulerPattern,
				"self":           "RENEWER=*/CN=alice\n",
				"trusted-self":   "RETRIEVER_TRUSTED=*/CN=alice\n",
				"trusted-portal": "RETRIEVER_TRUSTED=*/CN=portal\n",
				"nobody":         "",
			} {
				w.part(stored, func(w *twins) { w.renewals(stored, settings) })
			}
			if p == open {
				w.part("replies", (*twins).badReplies)
				w.part("encrypted", (*twins).encryptedRenewals)
			}
		})
	}
}

func (w *twins) renewals(user, settings string) {
	w.both("put", "alice", put(ask(commandPut, user, noPassphrase, 43200, settings), w.delegate("alice", proxyOptions{lifetime: 24 * time.Hour})))
	request := ask(commandGet, user, noPassphrase, 3600)
	seed := w.person("alice-proxy")
	for _, who := range few([]string{"", "alice", "scheduler", "portal"}, []string{"alice-proxy"}) {
		w.both(user+" renewed by "+who, who, w.renew(request, w.sign(seed, methodSHA256)))
		w.both(user+" fetched by "+who, who, w.get(request))
		if who == "portal" || soak() {
			w.both(user+" fetched with a pass phrase by "+who, who, w.get(ask(commandGet, user, goodPass, 3600)))
		}
	}
	w.both(user+" renewed with SHA-1", "scheduler", w.renew(request, w.sign(seed, methodSHA1)))
	w.both(user+" retrieved", "scheduler", retrieve(ask(commandRetrieve, user, noPassphrase, 3600)))
}

// badReplies: what a client can answer to the challenge.
func (w *twins) badReplies() {
	w.both("put", "alice", put(ask(commandPut, "replies", noPassphrase, 43200, "RENEWER=*\nKEYRETRIEVERS=*\n"), w.delegate("alice", proxyOptions{lifetime: 24 * time.Hour})))
	request := ask(commandGet, "replies", noPassphrase, 3600)
	seed := w.person("alice-proxy")
	good := func(method byte) func(older, newer string) []byte { return w.sign(seed, method) }
	changed := func(change func([]byte) []byte) func(older, newer string) []byte {
		return func(older, newer string) []byte { return change(good(methodSHA256)(older, newer)) }
	}
	for name, reply := range map[string]func(older, newer string) []byte{
		"somebody else's proxy": w.sign(w.person("bob-proxy"), methodSHA256),
		"expired":               w.sign(w.person("alice-expired"), methodSHA256),
		"limited":               w.sign(w.person("alice-limited"), methodSHA256),
		"the certificate":       w.sign(w.person("alice"), methodSHA256),
		"P-256":                 w.sign(w.person("alice-ec"), methodSHA256),
		"P-256 and SHA-1":       w.sign(w.person("alice-ec"), methodSHA1),
		"signed the other one":  func(older, newer string) []byte { return good(methodSHA256)(newer, older) },
		"unknown method":        changed(func(b []byte) []byte { b[0] = 1; return b }),
		"no method":             changed(func(b []byte) []byte { b[0] = 0; return b }),
		"wrong method":          changed(func(b []byte) []byte { b[0] = methodSHA1; return b }),
		"odd bytes behind it":   changed(func(b []byte) []byte { b[1], b[2], b[3] = 1, 2, 3; return b }),
		"bytes at the end":      changed(func(b []byte) []byte { return append(b, "more"...) }),
		"signature changed":     changed(func(b []byte) []byte { b[20] ^= 1; return b }),
		"short signature":       changed(func(b []byte) []byte { b[6], b[7] = 0, 255; return append(b[:8+255], b[8+256:]...) }),
		"no certificates":       changed(func(b []byte) []byte { return b[:8+256] }),
		"count 1":               changed(func(b []byte) []byte { b[8+256] = 1; return b }),
		"half a certificate":    changed(func(b []byte) []byte { return b[:8+256+100] }),
		"without issuer": func(older, newer string) []byte {
			alone := *seed
			alone.Chain = seed.Chain[:1]
			return w.sign(&alone, methodSHA256)(older, newer)
		},
	} {
		w.both("renewal: "+name, "scheduler", w.renew(request, reply))
	}
	w.both("retrieve by renewal", "scheduler", func(d *dialog) {
		d.say([]byte(ask(commandRetrieve, "replies", noPassphrase, 3600)))
		challenge, ok := d.ok("2")
		if found := challengeDigits.FindAllString(string(challenge), -1); ok && len(found) == 2 {
			d.say(w.sign(seed, methodSHA256)(found[0][:32], found[1][:32]))
			d.hear()
			d.hear()
			d.hear()
		}
	})
}

// encryptedRenewals: a key that is encrypted needs its pass phrase, whatever
// the policies say.
func (w *twins) encryptedRenewals() {
	everything := "RENEWER=*\nRETRIEVER_TRUSTED=*\nKEYRETRIEVERS=*\n"
	w.both("put", "alice", put(ask(commandPut, "encrypted", goodPass, 43200, everything), w.delegate("alice", proxyOptions{})))
	for _, passphrase := range []string{"", goodPass, wrongPass} {
		for _, who := range []string{"", "portal"} {
			w.both("get", who, w.renew(ask(commandGet, "encrypted", passphrase, 3600), w.sign(w.person("alice-proxy"), methodSHA256)))
			w.both("retrieve", who, retrieve(ask(commandRetrieve, "encrypted", passphrase, 3600)))
		}
	}
}

// A server that trusts few, and one whose patterns are odd.
func TestPoliciesAsRealServer(t *testing.T) {
	strict := &Policies{
		AcceptedCredentials:   []string{"/C=XX/O=Lab/CN=alice", "/C=XX/O=Lab/CN=portal"},
		AuthorizedRetrievers:  []string{"*/CN=portal"},
		AuthorizedRenewers:    []string{"*/CN=scheduler"},
		MaxCredentialLifetime: 240*time.Hour + time.Minute,
	}
	odd := &Policies{
		AcceptedCredentials:  []string{"(", "SUBJECT:*/CN=[ab]lice"},
		AuthorizedRetrievers: []string{"*/CN=p?rtal|/C=XX/O=Lab/CN=alice", "FQAN:*"},
		DefaultRetrievers:    []string{"none", "*"},
		AuthorizedRenewers:   []string{"*"}, DefaultRenewers: []string{"*"},
		AuthorizedKeyRetrievers: []string{"*"}, DefaultKeyRetrievers: []string{"*"},
		TrustedRetrievers: []string{"*/CN=portal"},
	}
	for name, p := range map[string]*Policies{"strict": strict, "odd": odd, "closed": {AcceptedCredentials: []string{"*"}}} {
		t.Run(name, func(t *testing.T) {
			w := twinsWith(t, p, 2*time.Hour)
			for _, passphrase := range []string{goodPass, ""} {
				w.part("pass phrase "+passphrase, func(w *twins) { w.policies("p"+passphrase, passphrase) })
			}
			w.part("lifetimes", func(w *twins) {
				for _, life := range []time.Duration{239, 240, 241, 242, 300} {
					life = life*time.Hour + 30*time.Minute // both count whole hours of what is left by then
					w.both(fmt.Sprint("put for ", life), "alice", put(ask(commandPut, "life", goodPass, 0), func(pub crypto.PublicKey) []byte {
						return w.delegate("alice", proxyOptions{lifetime: life})(pub)
					}))
				}
			})
		})
	}
}

func (w *twins) policies(user, passphrase string) {
	for _, who := range []string{"bob", "alice", ""} {
		w.both("put by "+who, who, put(ask(commandPut, user, passphrase, 86400), w.delegate("alice", proxyOptions{lifetime: 24 * time.Hour})))
		w.both("info by "+who, who, simple(ask(commandInfo, user, "", 0)))
	}
	for _, who := range []string{"", "alice", "portal", "portal-proxy", "portal-limited", "scheduler"} {
		w.both("get by "+who, who, w.renew(ask(commandGet, user, passphrase, 86400), w.sign(w.person("alice-proxy"), methodSHA256)))
		w.both("get by "+who, who, w.get(ask(commandGet, user, goodPass, 86400)))
		w.both("retrieve by "+who, who, retrieve(ask(commandRetrieve, user, passphrase, 86400)))
		if passphrase != "" || soak() { // the others have nothing to do with what is stored
			w.both("get nothing by "+who, who, w.get(ask(commandGet, "nothing", goodPass, 86400)))
			w.both("trust roots by "+who, who, simple(ask(commandTrustRoots, "", "", 0)))
		}
	}
	for _, who := range []string{"bob", "", "alice"} {
		w.both("change by "+who, who, simple(ask(commandChange, user, passphrase, 0, "NEW_PHRASE="+passphrase+"x\n")))
		w.both("destroy by "+who, who, simple(ask(commandDestroy, user, "", 0)))
	}
}

// An online CA: what it issues, what it refuses, and what is left of the
// repository in it.
func TestOnlineCAAsRealServer(t *testing.T) {
	closed := &Policies{AuthorizedRetrievers: []string{"*"}}
	open := &Policies{
		AcceptedCredentials: []string{"*"}, AuthorizedRetrievers: []string{"*"}, AuthorizedRenewers: []string{"*"},
		TrustedRetrievers: []string{"*/CN=portal"},
	}
	for name, p := range map[string]*Policies{"closed": closed, "open": open} {
		t.Run(name, func(t *testing.T) {
			const login = "login pass word"
			w := newTwins(t, twinOptions{
				real: lab.MyProxyOptions{Mode: lab.OnlineCA, Users: map[string]string{"carol": login}, Policy: realPolicy(p), Config: "min_keylen 2048\n"},
				box:  Options{Mode: CA, Policies: p, MaxLifetime: 12 * time.Hour, PAMText: labPAM, MinKeyBits: 2048},
			})
			if err := w.box.AddUser(User{Name: "carol", Passphrase: login}); err != nil {
				t.Fatal(err)
			}
			w.part("logon", func(w *twins) { w.logons(login) })
			w.part("repository", func(w *twins) { w.repositoryOfCA(login) })
		})
	}
}

// labPAM is what the lab's PAM service answers to a wrong pass phrase.
const labPAM = "invalid password"

func (w *twins) logons(login string) {
	for _, lifetime := range []int{1, 59, 3600, 86400} {
		w.both("get", "", w.get(ask(commandGet, "carol", login, lifetime)))
	}
	w.both("get with a name", "", w.get(ask(commandGet, "carol", login, 3600, "CRED_NAME=x\n")))
	w.both("get with trust roots", "", w.get(ask(commandGet, "carol", login, 3600, "TRUSTED_CERTS=1\n")))
	for _, passphrase := range []string{"wrong", "", login + " "} {
		w.both("get, wrong pass phrase", "", w.get(ask(commandGet, "carol", passphrase, 3600)))
		w.both("get, unknown user", "", w.get(ask(commandGet, "mallory", passphrase, 3600)))
	}
	for name, csr := range map[string][]byte{
		"garbage": []byte("garbage"), "P-256": testCSR(w.t, w.person("alice-ec").Key, false), "limited": testCSR(w.t, testKey(w.t), true),
	} {
		w.both("get: "+name, "", w.getFor(ask(commandGet, "carol", login, 3600), csr))
	}
	for _, who := range []string{"portal", "portal-limited", "bob"} {
		w.both("get by "+who, who, w.get(ask(commandGet, "carol", login, 3600)))
		w.both("get without pass phrase by "+who, who, w.renew(ask(commandGet, "carol", "", 3600), w.sign(w.person("bob-proxy"), methodSHA256)))
		w.both("get of an unknown user by "+who, who, w.get(ask(commandGet, "mallory", "", 3600)))
	}
}

func (w *twins) repositoryOfCA(login string) {
	w.both("trust roots", "", simple(ask(commandTrustRoots, "", "", 0)))
	w.both("info", "alice", simple(ask(commandInfo, "dave", "", 0)))
	w.both("change", "alice", simple(ask(commandChange, "dave", goodPass, 0, "NEW_PHRASE="+goodPass+"\n")))
	w.both("destroy", "alice", simple(ask(commandDestroy, "dave", "", 0)))
	w.both("retrieve", "alice", retrieve(ask(commandRetrieve, "dave", goodPass, 0)))
	for _, passphrase := range []string{goodPass, ""} {
		w.both("put", "alice", put(ask(commandPut, "dave", passphrase, 3600), w.delegate("alice", proxyOptions{})))
		for _, used := range slices.Compact([]string{passphrase, login, ""}) {
			w.both("get", "", w.get(ask(commandGet, "dave", used, 3600)))
		}
		w.both("change", "alice", simple(ask(commandChange, "dave", passphrase, 0, "NEW_PHRASE="+goodPass+"\n")))
		w.both("destroy", "alice", simple(ask(commandDestroy, "dave", "", 0)))
	}
}
