//go:build unix

package sandbox

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// badPuts: what a client can do wrong in its answer to the server's request.
func (w *twins) badPuts() {
	alice := w.person("alice")
	answers := map[string]func(good []byte, pub crypto.PublicKey) []byte{
		"count 0":              func(good []byte, _ crypto.PublicKey) []byte { return append([]byte{0}, good[1:]...) },
		"count too small":      func(good []byte, _ crypto.PublicKey) []byte { return append([]byte{1}, good[1:]...) },
		"count too big":        func(good []byte, _ crypto.PublicKey) []byte { return append([]byte{9}, good[1:]...) },
		"garbage":              func([]byte, crypto.PublicKey) []byte { return []byte("this is not a chain") },
		"one byte":             func([]byte, crypto.PublicKey) []byte { return []byte{1} },
		"an error":             func([]byte, crypto.PublicKey) []byte { return errorResponse("no") },
		"half a certificate":   func(good []byte, _ crypto.PublicKey) []byte { return good[:len(good)/2] },
		"a byte too many":      func(good []byte, _ crypto.PublicKey) []byte { return append(good, 0) },
		"a response behind it": func(good []byte, _ crypto.PublicKey) []byte { return append(good, okResponse(nil)...) },
		"wrong signature": func(good []byte, pub crypto.PublicKey) []byte {
			leaf := w.certificate(alice, pub, proxyOptions{})
			return slices.Concat([]byte{2}, leaf.Raw[:len(leaf.Raw)-1], []byte{leaf.Raw[len(leaf.Raw)-1] ^ 1}, alice.Chain[0].Raw)
		},
		"no issuer": func(good []byte, pub crypto.PublicKey) []byte {
			return counted([]*x509.Certificate{w.certificate(alice, pub, proxyOptions{})})
		},
		"the root too": func(good []byte, pub crypto.PublicKey) []byte {
			return slices.Concat([]byte{3}, good[1:], w.real.CA.Cert.Raw)
		},
		"issuer first": func(good []byte, pub crypto.PublicKey) []byte {
			return counted([]*x509.Certificate{alice.Chain[0], w.certificate(alice, pub, proxyOptions{})})
		},
		"a stranger's certificate too": func(good []byte, pub crypto.PublicKey) []byte {
			return slices.Concat([]byte{3}, good[1:], w.person("bob").Chain[0].Raw)
		},
		"another key": func([]byte, crypto.PublicKey) []byte { return counted(w.person("alice-proxy").Chain) },
		"expired": func(good []byte, pub crypto.PublicKey) []byte {
			return counted([]*x509.Certificate{w.certificate(alice, pub, proxyOptions{lifetime: -time.Minute}), alice.Chain[0]})
		},
		"not a proxy":           func([]byte, crypto.PublicKey) []byte { return counted(alice.Chain) },
		"somebody else's":       func(_ []byte, pub crypto.PublicKey) []byte { return w.delegate("bob", proxyOptions{})(pub) },
		"below an elliptic key": func(_ []byte, pub crypto.PublicKey) []byte { return w.delegate("alice-ec", proxyOptions{})(pub) },
		"independent": func(_ []byte, pub crypto.PublicKey) []byte {
			return w.delegate("alice", proxyOptions{language: oidIndependent})(pub)
		},
		"of a limited proxy, full": func(_ []byte, pub crypto.PublicKey) []byte {
			return w.delegate("alice-limited", proxyOptions{})(pub)
		},
	}
	for name, answer := range answers {
		good := w.delegate("alice", proxyOptions{})
		w.both("put: "+name, "alice", put(ask(commandPut, "bad", goodPass, 3600), func(pub crypto.PublicKey) []byte { return answer(good(pub), pub) }))
		w.both("info after put: "+name, "alice", simple(ask(commandInfo, "bad", "", 0)))
		w.both("get after put: "+name, "", w.get(ask(commandGet, "bad", goodPass, 3600)))
		w.both("destroy after put: "+name, "alice", simple(ask(commandDestroy, "bad", "", 0)))
	}
}

// stores: what a client may send as its files.
func (w *twins) stores() {
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.person("alice").Chain[0].Raw})
	whole := bytes.TrimRight(w.file("alice", goodPass), "\x00")
	key := bytes.TrimPrefix(whole, certificate)
	proxied := bytes.TrimRight(w.file("alice-proxy", goodPass), "\x00")
	texts := map[string][]byte{
		"as it should be":         whole,
		"with NUL and more":       append(bytes.Clone(whole), "\x00more"...),
		"key first":               slices.Concat(key, certificate),
		"no key":                  certificate,
		"no certificate":          key,
		"not encrypted":           bytes.TrimRight(w.file("alice", ""), "\x00"),
		"another pass phrase":     bytes.TrimRight(w.file("alice", wrongPass), "\x00"),
		"somebody else's":         bytes.TrimRight(w.file("bob", goodPass), "\x00"),
		"key of somebody else":    slices.Concat(certificate, bytes.TrimPrefix(bytes.TrimRight(w.file("bob", goodPass), "\x00"), certificate)),
		"a proxy, key last":       proxied,
		"a proxy, key second":     reordered(w.t, proxied),
		"PKCS#8":                  slices.Concat(certificate, pkcs8(w.t, w.file("alice", ""), goodPass)),
		"P-256":                   bytes.TrimRight(w.file("alice-ec", goodPass), "\x00"),
		"with the root":           slices.Concat(certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.real.CA.Cert.Raw})),
		"with text around it":     slices.Concat([]byte("subject=me\n"), certificate, []byte("\nkey:\n"), key, []byte("end\n")),
		"garbage":                 []byte("this is not a credential\n\x00"),
		"an empty certificate":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0}}),
		"a bad certificate after": slices.Concat(whole, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0}})),
		"an expired proxy":        bytes.TrimRight(w.file("alice-expired", goodPass), "\x00"),
		"only a NUL":              {0},
	}
	// What is read in another way after a change of the pass phrase.
	changed := []string{"as it should be", "key first", "not encrypted", "a proxy, key last", "PKCS#8", "an expired proxy"}
	for name, text := range texts {
		text = append(text, 0) // without it the real server stores what lies in its memory
		w.both("store: "+name, "alice", store(ask(commandStore, "stored", goodPass, 3600, "KEYRETRIEVERS=*\n"), text))
		w.both("info after store: "+name, "alice", simple(ask(commandInfo, "stored", "", 0)))
		w.both("get after store: "+name, "", w.get(ask(commandGet, "stored", goodPass, 3600)))
		w.both("retrieve after store: "+name, "", retrieve(ask(commandRetrieve, "stored", goodPass, 3600)))
		if slices.Contains(changed, name) || soak() {
			w.both("change after store: "+name, "alice", simple(ask(commandChange, "stored", goodPass, 3600, "NEW_PHRASE="+goodPass+"\n")))
			w.both("get after change after store: "+name, "", w.get(ask(commandGet, "stored", goodPass, 3600)))
			w.both("retrieve after change after store: "+name, "", retrieve(ask(commandRetrieve, "stored", goodPass, 3600)))
		}
		w.both("destroy after store: "+name, "alice", simple(ask(commandDestroy, "stored", "", 0)))
	}
}

// reordered puts the key behind the first certificate, as in a proxy file.
func reordered(t testing.TB, text []byte) []byte {
	t.Helper()
	var blocks [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, pem.EncodeToMemory(block))
	}
	last := len(blocks) - 1
	return slices.Concat(blocks[0], blocks[last], slices.Concat(blocks[1:last]...))
}

// pkcs8 is the key of a credential as OpenSSL writes it today.
func pkcs8(t testing.TB, text []byte, passphrase string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need(t, "openssl", "openssl"), "pkcs8", "-topk8", "-passout", "pass:"+passphrase)
	cmd.Stdin = bytes.NewReader(bytes.TrimRight(text, "\x00"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A long file is more than one record of TLS; the server takes a full one for
// the beginning.
func TestLongStoreAsRealServer(t *testing.T) {
	w := newTwins(t, twinOptions{version: tls.VersionTLS13})
	text := slices.Concat(bytes.TrimRight(w.file("alice", goodPass), "\x00"), bytes.Repeat([]byte("# a line that means nothing\n"), 1000))
	w.both("store", "alice", store(ask(commandStore, "alice", goodPass, 3600, "KEYRETRIEVERS=*\n"), append(text, 0)))
	w.both("get", "", w.get(ask(commandGet, "alice", goodPass, 3600)))
}
