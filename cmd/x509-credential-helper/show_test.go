package main

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// showTime is the clock of the pages in testdata.
var showTime = time.Date(2026, 11, 22, 7, 30, 0, 0, time.UTC)

// samples are proxies as people have them, and some that nobody should have.
func samples(g *proxyLab) map[string][]byte {
	ac := g.attributes("labvo", 6*time.Hour, "/labvo/Role=production", "/labvo")
	one := g.proxy(g.user, "1804289383", inheritAll, 12*time.Hour)
	withVO := g.proxy(g.user, "1804289383", inheritAll, 12*time.Hour, ac)
	two := g.proxy(withVO, "846930886", limited, 11*time.Hour)
	renewed := g.proxy(g.proxy(g.user, "17", inheritAll, 12*time.Hour, g.attributes("labvo", -time.Minute, "/labvo")), "18", inheritAll, 11*time.Hour, ac)
	short := g.proxy(g.proxy(g.user, "1", inheritAll, time.Hour), "2", inheritAll, 20*time.Hour)
	end := func(d time.Duration) time.Time { return g.now.Add(d) }
	return map[string][]byte{
		"one":     one.pem(),
		"limited": two.pem(),
		"expired": g.proxy(g.user, "5", inheritAll, -3*time.Hour/2).pem(),
		"renewed": renewed.pem(),
		"short":   short.pem(),
		"independent": g.below(g.user, "7", end(8*time.Hour), func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, proxyInfo(g.t, independent, 0))
		}).pem(),
		"acover": g.proxy(g.user, "9", inheritAll, 12*time.Hour, g.attributes("labvo", -10*time.Minute, "/labvo")).pem(),
		"legacy": g.below(g.user, "proxy", end(8*time.Hour), nil).pem(),
		"notyet": g.below(g.user, "11", end(12*time.Hour), func(c *x509.Certificate) {
			c.NotBefore = end(30 * time.Minute)
			c.ExtraExtensions = append(c.ExtraExtensions, proxyInfo(g.t, inheritAll, -1))
		}).pem(),
		"ec": g.issue(g.user, newECKey(g.t), append(append(pkix.RDNSequence{}, g.user.name...), pkix.Name{CommonName: "13"}.ToRDNSequence()...), end(12*time.Hour), func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, proxyInfo(g.t, inheritAll, -1))
		}).pem(),
		"usercert": g.user.certPEM(),
		"headless": append(one.certPEM(), one.keyPEM()...),
		"wrongkey": append(append(one.certPEM(), two.keyPEM()...), g.user.certPEM()...),
		"reversed": append(append(g.user.certPEM(), one.certPEM()...), one.keyPEM()...),
	}
}

// TestPages compares the pages for people with testdata/show: on a terminal of
// 80 columns with colours, on one of 40 columns, and in a file with LANG=C.
// UPDATE_GOLDEN=1 writes them anew.
func TestPages(t *testing.T) {
	g := newProxyLab(t, showTime)
	for name, data := range samples(g) {
		file := &proxyFile{path: "/tmp/x509up_u1000", regular: true, mode: 0o600, uid: 1000, ours: true}
		if name == "one" {
			file.mode, file.ours = 0o644, false
		}
		for suffix, p := range map[string]page{
			"file": {}, "40": {width: 40, style: style{unicode: true}}, "80": {width: 80, style: style{unicode: true, color: true}},
		} {
			if suffix != "file" && name != "limited" && name != "expired" && name != "acover" {
				continue
			}
			s, err := parseProxy(file, data, showTime)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			golden(t, filepath.Join("show", name+"."+suffix+".golden"), p.proxy(s, false))
		}
	}
}

// TestByteOrderMark: a file that went through an editor of Windows is the same
// proxy, and begins with the same certificate.
func TestByteOrderMark(t *testing.T) {
	data := samples(newProxyLab(t, showTime))["one"]
	file := &proxyFile{path: "/tmp/x509up_u1000", regular: true, mode: 0o600, uid: 1000, ours: true}
	for _, text := range [][]byte{data, append([]byte("\ufeff"), data...)} {
		s, err := parseProxy(file, text, showTime)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.problems) > 0 || len(s.remarks) > 0 {
			t.Errorf("%v %v", s.problems, s.remarks)
		}
	}
}

// TestNobodysProxy: a certificate of a random CN that a user has signed without
// proxyCertInfo is not shown as somebody's.
func TestNobodysProxy(t *testing.T) {
	g := newProxyLab(t, showTime)
	file := &proxyFile{path: "/tmp/x509up_u1000", regular: true, mode: 0o600, uid: 1000, ours: true}
	s, err := parseProxy(file, g.below(g.user, "12345", showTime.Add(time.Hour), nil).pem(), showTime)
	if err != nil {
		t.Fatal(err)
	}
	if answer := s.json(false); s.good() || answer.Valid || answer.Identity != "" || len(s.problems) != 1 || s.problems[0].code != "not_a_proxy" {
		t.Errorf("good: %v, of %q: %v", s.good(), answer.Identity, s.problems)
	}
}

// TestShowSchema: whatever the file, the output is what the schema says, and
// says the same as the exit status.
func TestShowSchema(t *testing.T) {
	g := newProxyLab(t, showTime)
	for name, data := range samples(g) {
		for _, file := range []*proxyFile{
			{path: "-", stdin: true}, {path: "/tmp/x", regular: true, mode: 0o644, uid: 1000}, {path: "/tmp/x", uid: -1, ours: true},
		} {
			for _, verified := range []bool{false, true} {
				s, err := parseProxy(file, data, showTime)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				var out bytes.Buffer
				if err := writeJSON(&out, s.json(verified)); err != nil {
					t.Fatal(err)
				}
				if err := conforms(t, "show", out.Bytes()); err != nil {
					t.Errorf("%s: %v\n%s", name, err, &out)
				}
			}
		}
	}
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		write(t, path, []byte(got), 0o644)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nexpected\n%s", file, got, want)
	}
}

// TestRolesAndRepeats: a CA is called one, whatever stands where its certificate
// should is not, and what is wrong is said once.
func TestRolesAndRepeats(t *testing.T) {
	g := newProxyLab(t, showTime)
	broken := g.attributes("labvo", time.Hour, "/labvo")
	broken.Value = broken.Value[:len(broken.Value)-1]
	for _, tc := range []struct {
		data       []byte
		want, once string
	}{
		{g.ca.certPEM(), "Lab CA: CA, RSA 2048", "the certificate of a CA"},
		{append(g.user.certPEM(), g.aa.certPEM()...), "voms.example.org: no CA, RSA 2048", "the next certificate in the chain is not the issuer's"},
		{g.proxy(g.user, "5", inheritAll, time.Hour, broken).pem(), "attribute", "malformed"},
	} {
		s, err := parseProxy(&proxyFile{path: "x", uid: -1}, tc.data, showTime)
		if err != nil {
			t.Fatal(err)
		}
		p := page{}
		if text := p.proxy(s, false); !strings.Contains(text, tc.want) || strings.Count(text, tc.once) != 1 {
			t.Errorf("expected %q, and once %q:\n%s", tc.want, tc.once, text)
		}
	}
}
