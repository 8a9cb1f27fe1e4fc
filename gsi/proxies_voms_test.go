package gsi

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
)

// The VO whose attributes kinds carry, and its server.
const (
	labVO     = "labvo"
	labVOHost = "voms.example.org"
)

// makeVOMS makes the server of the VO and the directory that knows it.
func (w *world) makeVOMS() {
	w.t.Helper()
	w.aa = w.eec(rsaKeys()[1], named(labName(labVOHost)))
	w.vomsDir = w.t.TempDir()
	dir := filepath.Join(w.vomsDir, labVO)
	if err := os.Mkdir(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	lsc := subjectText(w.aa.Leaf()) + "\n" + subjectText(w.root.cert) + "\n"
	if err := os.WriteFile(filepath.Join(dir, labVOHost+".lsc"), []byte(lsc), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// attributes makes the extension of a VOMS proxy.
func (w *world) attributes(change ...func(*voms.SignOptions)) pkix.Extension {
	w.t.Helper()
	opts := voms.SignOptions{
		Issuer: w.aa.Leaf(), Key: w.aa.Key, Holder: w.user.Leaf(),
		VO: labVO, Host: labVOHost + ":15001", FQANs: []string{"/labvo", "/labvo/Role=production"},
		NotBefore: w.now.Add(-5 * time.Minute), NotAfter: w.now.Add(time.Hour),
	}
	for _, f := range change {
		f(&opts)
	}
	ext, err := voms.Sign(opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return ext
}

func vomsKinds() []kind {
	ac := func(change ...func(*voms.SignOptions)) func(*world) *Credential {
		return func(w *world) *Credential { return w.proxy(w.user, with(w.attributes(change...))) }
	}
	at := func(from, until time.Duration) func(*voms.SignOptions) {
		return func(o *voms.SignOptions) {
			now := o.NotBefore.Add(5 * time.Minute)
			o.NotBefore, o.NotAfter = now.Add(from), now.Add(until)
		}
	}
	changed := func(from, to string) func(*world) *Credential {
		return func(w *world) *Credential {
			ext := w.attributes()
			value := bytes.Replace(ext.Value, []byte(from), []byte(to), 1)
			if bytes.Equal(value, ext.Value) {
				w.t.Fatalf("no %q in the attributes", from)
			}
			ext.Value = value
			return w.proxy(w.user, with(ext))
		}
	}
	authority := func(change ...func(*x509.Certificate)) func(*world) func(*voms.SignOptions) {
		return func(w *world) func(*voms.SignOptions) {
			aa := w.eec(w.aa.Key, append([]func(*x509.Certificate){named(w.aa.Leaf().RawSubject)}, change...)...)
			return func(o *voms.SignOptions) { o.Issuer = aa.Leaf() }
		}
	}
	return []kind{
		{name: "VOMS attributes", asked: "yyyyyyyy", cred: ac(), short: true},
		{name: "VOMS attributes two levels up", asked: "yyy---yy", cred: func(w *world) *Credential {
			return w.proxy(w.proxy(w.user, with(w.attributes())))
		}},
		{name: "VOMS attributes in a limited proxy", asked: "yyy---yy", cred: func(w *world) *Credential {
			return w.proxy(w.user, w.info(oidLimited, nil), with(w.attributes()))
		}},
		{name: "VOMS attributes expired", asked: "yyyyyyyn", cred: ac(at(-2*time.Hour, -time.Hour)), want: voms.ReasonExpired, short: true},
		{name: "VOMS attributes not yet valid", asked: "yyy---yn", cred: ac(at(time.Hour, 2*time.Hour)), want: voms.ReasonNotYetValid},
		{name: "expired VOMS attributes below good ones", asked: "yyy---yn", cred: func(w *world) *Credential {
			return w.proxy(w.proxy(w.user, with(w.attributes())), with(w.attributes(at(-2*time.Hour, -time.Hour))))
		}, want: voms.ReasonExpired},
		{name: "an empty list of VOMS attributes below good ones", asked: "yyn---yn", cred: func(w *world) *Credential {
			empty := pkix.Extension{Id: w.attributes().Id, Value: []byte{0x30, 2, 0x30, 0}}
			return w.proxy(w.proxy(w.user, with(w.attributes())), with(empty))
		}, want: voms.ReasonMalformed},
		{name: "VOMS attributes signed by another key", asked: "yyy---yn", cred: func(w *world) *Credential {
			return ac(func(o *voms.SignOptions) { o.Key = testKey(w.t, "rsa3072") })(w)
		}, want: voms.ReasonSignature},
		{name: "VOMS attributes with another role put in", asked: "yyy---yn", cred: changed("Role=production", "Role=superuser."), want: voms.ReasonSignature},
		{name: "VOMS attributes of another user", asked: "yyy---yn", cred: func(w *world) *Credential {
			joe := w.eec(rsaKeys()[0], named(labName("Joe")))
			return ac(func(o *voms.SignOptions) { o.Holder = joe.Leaf() })(w)
		}, want: voms.ReasonHolder},
		{name: "VOMS attributes for another certificate of the user", asked: "yyy---yn", cred: func(w *world) *Credential {
			return ac(func(o *voms.SignOptions) { o.Holder = w.revoked.Leaf() })(w)
		}, want: voms.ReasonHolder},
		{name: "VOMS attributes of a VO that is not in vomsdir", asked: "yyy---yn", cred: ac(func(o *voms.SignOptions) {
			o.VO, o.FQANs = "othervo", []string{"/othervo"}
		}), want: voms.ReasonLSCMissing},
		{name: "VOMS attributes with a group of another VO", asked: "yyn---yn", cred: ac(func(o *voms.SignOptions) {
			o.FQANs = []string{"/labvo", "/othervo"}
		}), want: voms.ReasonVO},
		{name: "VOMS attributes by a server that vomsdir does not name", asked: "yyy---yn", cred: func(w *world) *Credential {
			return ac(authority(named(labName("other.example.org")))(w))(w)
		}, want: voms.ReasonLSCMismatch},
		{name: "VOMS attributes by a server whose certificate expired", asked: "yyy---yn", cred: func(w *world) *Credential {
			return ac(authority(w.times(-2*time.Hour, -time.Hour))(w))(w)
		}, want: voms.ReasonUntrusted},
		{name: "VOMS attributes by a server of an unknown CA", asked: "yyy---yn", cred: func(w *world) *Credential {
			impostor := w.authority(nil, "", named(w.root.cert.RawSubject), keyed(testKey(w.t, "rsa3072")))
			aa := w.eecOf(impostor, w.aa.Key, named(w.aa.Leaf().RawSubject))
			return ac(func(o *voms.SignOptions) { o.Issuer = aa.Leaf() })(w)
		}, want: voms.ReasonUntrusted},
		{name: "VOMS attributes for another host", asked: "yyy---yn", why: whyHost, cred: ac(func(o *voms.SignOptions) {
			o.Targets = []string{"elsewhere.example.org"}
		})},
		{name: "VOMS attributes are garbage", asked: "yyn---yn", cred: func(w *world) *Credential {
			ext := w.attributes()
			ext.Value = []byte{0x30, 3, 0x30, 1, 0}
			return w.proxy(w.user, with(ext))
		}, want: voms.ReasonMalformed},
	}
}
