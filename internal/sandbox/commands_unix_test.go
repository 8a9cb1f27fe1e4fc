//go:build unix

package sandbox

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

// Every command of a repository, with what is right and what is wrong with it,
// in the order in which people do it: the sandbox must say what the real
// server says, and what was stored by one step is what the next one finds.
func TestCommandsAsRealServer(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			w := newTwins(t, twinOptions{version: version})
			w.part("nothing stored", (*twins).nothingStored)
			w.part("put and get", (*twins).putAndGet)
			if version == tls.VersionTLS12 && !soak() { // the rest is the same above TLS
				return
			}
			w.part("owners", (*twins).owners)
			w.part("named", (*twins).named)
			w.part("changes", (*twins).changes)
			w.part("locks", (*twins).locks)
			if version == tls.VersionTLS13 && !testing.Short() {
				w.part("bad puts", (*twins).badPuts)
				w.part("stores", (*twins).stores)
				w.part("pass phrase lengths", (*twins).passphraseLengths)
				w.part("names", (*twins).names)
				w.part("records", (*twins).records)
			}
		})
	}
}

func (w *twins) nothingStored() {
	for _, who := range []string{"", "alice", "alice-proxy"} {
		for command, what := range map[int]string{commandGet: "get", commandInfo: "info", commandDestroy: "destroy", commandRetrieve: "retrieve"} {
			w.both(what+" nothing", who, simple(ask(command, "nobody", goodPass, 0)))
			w.both(what+" nothing by name", who, simple(ask(command, "nobody", goodPass, 0, "CRED_NAME=x\n")))
		}
		w.both("change nothing", who, simple(ask(commandChange, "nobody", goodPass, 0, "NEW_PHRASE="+goodPass+"\n")))
		w.both("trust roots", who, simple(ask(commandTrustRoots, "", "", 0, "TRUSTED_CERTS=1\n")))
		w.both("trust roots that are not asked for", who, simple(ask(commandTrustRoots, "nobody", "x", 0)))
	}
}

func (w *twins) putAndGet() {
	year := proxyOptions{lifetime: 7 * 24 * time.Hour}
	w.both("put, pass phrase too short", "alice", simple(ask(commandPut, "alice", "short", 43200)))
	w.both("put", "alice", put(ask(commandPut, "alice", goodPass, 43200), w.delegate("alice", year)))
	w.both("info", "alice", simple(ask(commandInfo, "alice", "", 0)))
	w.both("info by proxy", "alice-proxy", simple(ask(commandInfo, "alice", "", 0)))
	for _, lifetime := range []int{0, 1, 59, 60, 299, 3600, 3661, 86400, 99999999} {
		w.both("get", "", w.get(ask(commandGet, "alice", goodPass, lifetime)))
	}
	w.both("get with trust roots", "", w.get(ask(commandGet, "alice", goodPass, 3600, "TRUSTED_CERTS=1\n")))
	w.both("get with no trust roots", "", w.get(ask(commandGet, "alice", goodPass, 3600, "TRUSTED_CERTS=0\n")))
	w.both("get, wrong pass phrase", "", w.get(ask(commandGet, "alice", wrongPass, 3600)))
	w.both("get, no pass phrase", "", w.get(ask(commandGet, "alice", "", 3600)))
	w.both("get limited from a proxy", "", w.getFor(ask(commandGet, "alice", goodPass, 3600), testCSR(w.t, testKey(w.t), true)))
	w.both("get with a limited client", "alice-limited", w.get(ask(commandGet, "alice", goodPass, 3600)))
	w.both("get with a client's own limited proxy of another", "bob-limited", w.get(ask(commandGet, "alice", goodPass, 3600)))
	w.both("get with garbage", "", w.getFor(ask(commandGet, "alice", goodPass, 3600), []byte("garbage")))
	w.both("get with an error in place of a request", "", w.getFor(ask(commandGet, "alice", goodPass, 3600), []byte("VERSION=MYPROXYv2\nRESPONSE=1\nERROR=no\n\x00")))
	w.both("put by proxy", "alice-proxy", put(ask(commandPut, "deep", goodPass, 3600), w.delegate("alice-proxy", proxyOptions{lifetime: time.Hour})))
	w.both("get from a deep one", "", w.get(ask(commandGet, "deep", goodPass, 0)))
	w.both("put limited", "alice", put(ask(commandPut, "limited", goodPass, 0), w.delegate("alice", proxyOptions{language: oidLimited, lifetime: time.Hour})))
	w.both("get from a limited one", "", w.get(ask(commandGet, "limited", goodPass, 0)))
	w.both("put for an hour, no limit", "alice", put(ask(commandPut, "nolimit", goodPass, 0), w.delegate("alice", year)))
	w.both("get from one without a limit", "", w.get(ask(commandGet, "nolimit", goodPass, 0)))
	w.both("put what ends soon", "alice", put(ask(commandPut, "soon", goodPass, 43200), w.delegate("alice", proxyOptions{lifetime: 10 * time.Minute})))
	w.both("get from what ends soon", "", w.get(ask(commandGet, "soon", goodPass, 43200)))
	w.both("info of all kinds", "alice", simple(ask(commandInfo, "deep", "", 0)))
	w.both("put anonymously", "", put(ask(commandPut, "anon", goodPass, 43200), w.delegate("alice", year)))
	w.both("info anonymously", "", simple(ask(commandInfo, "anon", "", 0)))
	w.both("destroy anonymously", "", simple(ask(commandDestroy, "anon", "", 0)))
}

// owners: what belongs to alice is not bob's to see, change or overwrite.
func (w *twins) owners() {
	w.both("put", "alice", put(ask(commandPut, "owned", goodPass, 43200), w.delegate("alice", proxyOptions{})))
	for _, who := range []string{"bob", "", "alice-limited"} {
		w.both("put over it", who, put(ask(commandPut, "owned", goodPass, 43200), w.delegate("alice", proxyOptions{})))
		w.both("put over the name", who, simple(ask(commandPut, "owned", "short", 43200, "CRED_NAME=x\n")))
		w.both("store over it", who, store(ask(commandStore, "owned", goodPass, 43200), w.file("bob", goodPass)))
		w.both("info", who, simple(ask(commandInfo, "owned", "", 0)))
		w.both("change", who, simple(ask(commandChange, "owned", goodPass, 0, "NEW_PHRASE="+goodPass+"\n")))
		w.both("destroy", who, simple(ask(commandDestroy, "owned", "", 0)))
		w.both("put again", "alice", put(ask(commandPut, "owned", goodPass, 43200), w.delegate("alice", proxyOptions{})))
	}
}

func (w *twins) named() {
	all := "CRED_NAME=third_one\nCRED_DESC=for the portal\nRETRIEVER=*/CN=portal\nRENEWER=*/CN=scheduler\nKEYRETRIEVERS=*/CN=keys\nRETRIEVER_TRUSTED=*/CN=trusted\n"
	w.both("put with everything", "alice", put(ask(commandPut, "many", goodPass, 7200, all), w.delegate("alice", proxyOptions{})))
	w.both("put", "alice", put(ask(commandPut, "many", goodPass, 43200), w.delegate("alice", proxyOptions{})))
	w.both("info", "alice", simple(ask(commandInfo, "many", "", 0)))
	w.both("info of one", "alice", simple(ask(commandInfo, "many", "", 0, "CRED_NAME=third_one\n")))
	w.both("info of another", "alice", simple(ask(commandInfo, "many", "", 0, "CRED_NAME=third\n")))
	w.both("info of the one without a name", "alice", simple(ask(commandInfo, "many", "", 0, "CRED_NAME=\n")))
	for _, who := range []string{"", "bob", "portal"} {
		w.both("get for the portal", who, w.get(ask(commandGet, "many", goodPass, 3600, "CRED_NAME=third_one\n")))
	}
	w.both("store with empty policies", "alice", store(ask(commandStore, "empty", goodPass, 7200,
		"CRED_NAME=\nCRED_DESC=\nRETRIEVER=\nRENEWER=\nKEYRETRIEVERS=\nRETRIEVER_TRUSTED=\n"), w.file("alice", goodPass)))
	w.both("info", "alice", simple(ask(commandInfo, "empty", "", 0)))
	w.both("get", "", w.get(ask(commandGet, "empty", goodPass, 3600, "CRED_NAME=\n")))
	w.both("get without name", "", w.get(ask(commandGet, "empty", goodPass, 3600)))
	w.both("get by alias", "portal", w.get(ask(commandGet, "many-third_one", goodPass, 3600)))
	w.both("info by alias", "alice", simple(ask(commandInfo, "many-third_one", "", 0)))
	w.both("destroy", "alice", simple(ask(commandDestroy, "many", "", 0, "CRED_NAME=third_one\n")))
	w.both("destroy again", "alice", simple(ask(commandDestroy, "many", "", 0, "CRED_NAME=third_one\n")))
	w.both("info after that", "alice", simple(ask(commandInfo, "many", "", 0)))
}

func (w *twins) changes() {
	change := func(user, old, new string) func(*dialog) {
		return simple(ask(commandChange, user, old, 0, "NEW_PHRASE="+new+"\n"))
	}
	const next = "another pass phrase"
	w.both("store", "alice", store(ask(commandStore, "changing", goodPass, 3600, "CRED_DESC=kept\n"), w.file("alice", goodPass)))
	w.both("put", "alice", put(ask(commandPut, "proxied", goodPass, 3600), w.delegate("alice", proxyOptions{})))
	for _, user := range []string{"changing", "proxied"} {
		w.both("change to a short one", "alice", change(user, goodPass, "short"))
		w.both("change to a short one, wrong pass phrase", "alice", change(user, wrongPass, "short"))
		w.both("change, wrong pass phrase", "alice", change(user, wrongPass, next))
		w.both("change, short pass phrase", "alice", change(user, "abcd", next))
		w.both("change, no pass phrase", "alice", change(user, "", next))
		w.both("change", "alice", change(user, goodPass, next))
		w.both("get with the old one", "", w.get(ask(commandGet, user, goodPass, 3600)))
		w.both("get with the new one", "", w.get(ask(commandGet, user, next, 3600)))
		w.both("info", "alice", simple(ask(commandInfo, user, "", 0)))
		w.both("change to none", "alice", change(user, next, ""))
		w.both("get with the former one", "", w.get(ask(commandGet, user, next, 3600)))
		w.both("change from none", "alice", change(user, "", next))
		w.both("change from something", "alice", change(user, next, next))
	}
	w.both("no field for the new one", "alice", simple(ask(commandChange, "proxied", goodPass, 0)))
}

func (w *twins) locks() {
	w.both("store", "alice", store(ask(commandStore, "locked", goodPass, 3600, "KEYRETRIEVERS=*\n"), w.file("alice", goodPass)))
	for _, message := range []string{"under review", "two\nlines", "line\n"} {
		w.real.Lock("locked", "", message)
		if err := w.box.Lock("locked", "", message); err != nil {
			w.t.Fatal(err)
		}
		w.both("get", "", w.get(ask(commandGet, "locked", goodPass, 3600)))
		w.both("get, wrong pass phrase", "", w.get(ask(commandGet, "locked", wrongPass, 3600)))
		w.both("retrieve", "", retrieve(ask(commandRetrieve, "locked", goodPass, 3600)))
		w.both("info", "alice", simple(ask(commandInfo, "locked", "", 0)))
	}
	w.both("change", "alice", simple(ask(commandChange, "locked", goodPass, 0, "NEW_PHRASE="+goodPass+"\n")))
	w.both("get after change", "", w.get(ask(commandGet, "locked", goodPass, 3600)))
	w.real.Unlock("locked", "")
	if err := w.box.Unlock("locked", ""); err != nil {
		w.t.Fatal(err)
	}
	w.both("get", "", w.get(ask(commandGet, "locked", goodPass, 3600)))
	w.real.Lock("locked", "", "again")
	if err := w.box.Lock("locked", "", "again"); err != nil {
		w.t.Fatal(err)
	}
	w.both("store over it", "alice", store(ask(commandStore, "locked", goodPass, 3600), w.file("alice", goodPass)))
	w.both("get", "", w.get(ask(commandGet, "locked", goodPass, 3600)))
}

// passphraseLengths: the least and the most, as stored by the server itself
// and by a client.
func (w *twins) passphraseLengths() {
	for _, n := range []int{5, 6, 1022, 1023, 1024, 1025} {
		phrase := strings.Repeat("p", n)
		w.both("put", "alice", put(ask(commandPut, "long", phrase, 3600), w.delegate("alice", proxyOptions{})))
		for _, m := range []int{n - 1, n, n + 1} {
			w.both("get", "", w.get(ask(commandGet, "long", strings.Repeat("p", m), 3600)))
		}
		w.both("store", "alice", store(ask(commandStore, "longstored", phrase, 3600), w.file("alice", phrase)))
		w.both("get", "", w.get(ask(commandGet, "longstored", phrase, 3600)))
		w.both("change", "alice", simple(ask(commandChange, "longstored", phrase, 0, "NEW_PHRASE="+phrase+"x\n")))
	}
}

// names: what the server makes of them when it makes files of them.
func (w *twins) names() {
	odd := []string{"CRED_NAME=.z\n", "CRED_NAME=" + strings.Repeat("n", 81) + "\n"}
	for i, user := range []string{"a/b", ".hidden", "a-b", "..", strings.Repeat("u", 80), strings.Repeat("u", 81), "with blank", "ü"} {
		for _, name := range few([]string{"", []string{"CRED_NAME=x/y\n", odd[0], odd[1]}[i%3]}, []string{"CRED_NAME=x/y\n", odd[0], odd[1]}) {
			w.both("store", "alice", store(ask(commandStore, user, goodPass, 3600, name), w.file("alice", goodPass)))
			w.both("info "+user+name, "alice", simple(ask(commandInfo, user, "", 0, name)))
			w.both("get "+user+name, "", w.get(ask(commandGet, user, goodPass, 3600, name)))
			w.both("destroy", "alice", simple(ask(commandDestroy, user, "", 0, name)))
		}
	}
}

// records: the server takes a request and what is behind its NUL as two.
func (w *twins) records() {
	csr := testCSR(w.t, testKey(w.t), false)
	w.both("store", "alice", store(ask(commandStore, "piped", goodPass, 3600), w.file("alice", goodPass)))
	w.both("request and certificate request in one record", "", func(d *dialog) {
		d.say(append([]byte(ask(commandGet, "piped", goodPass, 3600)), csr...))
		d.hear()
		d.hear()
		d.hear()
	})
	w.both("request and file in one record", "alice", func(d *dialog) {
		d.say(append([]byte(ask(commandStore, "piped", goodPass, 3600)), w.file("alice", goodPass)...))
		d.hear()
		d.hear()
	})
	w.both("the client hangs up in place of a certificate request", "", func(d *dialog) {
		d.say([]byte(ask(commandGet, "piped", goodPass, 3600)))
		d.hear()
		_ = d.conn.CloseWrite()
		d.hear()
	})
	w.both("the client hangs up in place of a request", "", func(d *dialog) {
		_ = d.conn.CloseWrite()
		d.hear()
	})
}
