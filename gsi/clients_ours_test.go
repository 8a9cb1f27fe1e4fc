package gsi

import (
	"context"
	"crypto"
	"crypto/x509/pkix"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ownKind is a credential that this package has made, or has read and written
// anew.
type ownKind struct {
	name  string
	make  func(*world) (*Credential, error)
	voms  bool // an xrootd that wants VOMS attributes takes it, too
	ec    bool // XRootD's GSI cannot read its key
	short bool
}

// made derives a proxy for every set of options, one below the other.
func made(from func(*world) *Credential, levels ...IssueOptions) func(*world) (*Credential, error) {
	return func(w *world) (*Credential, error) {
		cred := from(w)
		for i, o := range levels {
			var err error
			if cred, err = cred.Derive(rsaKeys()[(i+1)%2], w.from(o)); err != nil {
				return nil, err
			}
		}
		return cred, nil
	}
}

// from fills in the time.
func (w *world) from(o IssueOptions) IssueOptions {
	o.Now, o.Lifetime = w.now, time.Hour
	return o
}

// delegated answers a request as a MyProxy server's client does.
func delegated(limited bool, from func(*world) (*Credential, error), o IssueOptions) func(*world) (*Credential, error) {
	return func(w *world) (*Credential, error) {
		issuer, err := from(w)
		if err != nil {
			return nil, err
		}
		key := testKey(w.t, "rsa3072")
		csr, err := NewRequest(key, limited)
		if err != nil {
			return nil, err
		}
		chain, err := Delegate(issuer, csr, w.from(o))
		return &Credential{Chain: chain, Key: key}, err
	}
}

// reread is one of the files that we read, whatever others make of it.
func reread(name string) func(*world) (*Credential, error) {
	return func(w *world) (*Credential, error) {
		for _, k := range fileKinds() {
			if k.name == name {
				return ParseCredential(w.file(k))
			}
		}
		w.t.Fatalf("no kind of file is called %q", name)
		return nil, nil
	}
}

func ownKinds() []ownKind {
	user := func(w *world) *Credential { return w.user }
	userWith := func(key func(testing.TB) crypto.Signer) func(*world) *Credential {
		return func(w *world) *Credential { return w.eec(key(w.t)) }
	}
	generated := func(t KeyType) func(*world) (*Credential, error) {
		return func(w *world) (*Credential, error) {
			key, err := GenerateKey(context.Background(), t)
			if err != nil {
				return nil, err
			}
			return w.user.Derive(key, w.from(IssueOptions{}))
		}
	}
	full, limited, independent := IssueOptions{}, IssueOptions{Rights: RightsLimited}, IssueOptions{Rights: RightsIndependent}
	withVOMS := func(levels ...IssueOptions) func(*world) (*Credential, error) {
		return func(w *world) (*Credential, error) {
			levels[0].Extensions = []pkix.Extension{w.attributes()}
			return made(user, levels...)(w)
		}
	}
	return []ownKind{
		{name: "full", make: made(user, full), short: true},
		{name: "limited", make: made(user, limited)},
		{name: "independent", make: made(user, independent)},
		{name: "path length 0", make: made(user, IssueOptions{PathLen: limit(0)})},
		{name: "three levels, path length 2", make: made(user, IssueOptions{PathLen: limit(2)}, full, limited)},
		{name: "below limited and independent", make: made(user, limited, independent)},
		{name: "of a user with P-256", make: made(userWith(func(t testing.TB) crypto.Signer { return newECKey(t) }), full)},
		{name: "of a user with Ed25519", make: made(userWith(edKey), full)},
		{name: "P-256", make: generated(KeyP256), ec: true},
		{name: "delegated", make: delegated(false, made(user), full)},
		{name: "delegated, limited by the request", make: delegated(true, made(user, full), full), short: true},
		{name: "delegated below limited", make: delegated(false, made(user, limited), full)},
		{name: "with VOMS attributes", make: withVOMS(full), voms: true, short: true},
		{name: "with VOMS attributes two levels up", make: withVOMS(full, limited), voms: true},
		{name: "reversed file, written anew", make: reread("reversed: user, proxy, key")},
		{name: "file with doubles, written anew", make: reread("the issuers twice")},
		{name: "file with CR LF and a CA, written anew", make: func(w *world) (*Credential, error) {
			text := strings.ReplaceAll(string(globusOrder(w, w.proxy(w.user)))+string(pemOf(w.root.cert)), "\n", "\r\n")
			return ParseCredential([]byte(text))
		}},
	}
}

// TestOwnProxies: whatever this package makes and writes is taken by every
// client, and by ourselves.
func TestOwnProxies(t *testing.T) {
	w, dir, clients := newLab(t)
	var names, files, expected []string
	for _, k := range ownKinds() {
		if testing.Short() && !k.short {
			continue
		}
		cred, err := k.make(w)
		if err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		text, err := cred.PEM()
		if err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		if got, err := w.judge(dir, text); got != nil {
			t.Errorf("%s: we say %v (%v)", k.name, got, err)
		}
		word := "yyyyyyy-"
		if k.voms {
			word = "yyyyyyyy"
		}
		if k.ec {
			word = "yyynnyy-"
		}
		names, expected = append(names, k.name), append(expected, word)
		files = append(files, write(t, filepath.Join(t.TempDir(), "proxy"), text))
	}
	compare(t, clients, names, files, expected)
}
