package gsi

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"
)

// fuzzSeeds are the layouts of credentials in use.
func fuzzSeeds(f *testing.F) []byte {
	user := newEEC(f, newCA(f, "Root", nil), "Jane")
	text, err := derive(f, user, IssueOptions{PathLen: limit(1)}).PEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
	f.Add(text[:len(text)/2])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	return text
}

func FuzzInspect(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		chain, err := ParseCertificates(data)
		if err != nil {
			return
		}
		info, err := Inspect(chain)
		if err != nil {
			return
		}
		for _, c := range chain {
			if c.NotAfter.Before(info.NotAfter) {
				t.Fatal("a certificate ends before the end")
			}
		}
		_ = VerifyChain(chain, VerifyOptions{Now: testTime, AllowLegacy: true})
	})
}

// FuzzInspectDER mutates certificates themselves: PEM's base64 keeps a fuzzer
// of the text from getting that far.
func FuzzInspectDER(f *testing.F) {
	user := newEEC(f, newCA(f, "Root", nil), "Jane")
	proxy := derive(f, user, IssueOptions{})
	f.Add(proxy.Leaf().Raw, user.Leaf().Raw)
	f.Add(user.Leaf().Raw, user.Leaf().Raw)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var chain []*x509.Certificate
		for _, der := range [][]byte{first, second} {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return
			}
			chain = append(chain, c)
		}
		_, _ = Inspect(chain)
		_ = VerifyServerName(chain[0], "localhost", "")
		changed := !bytes.Equal(first, proxy.Leaf().Raw) && !bytes.Equal(first, user.Leaf().Raw)
		if err := VerifyChain(chain, VerifyOptions{Now: testTime}); err == nil && changed && bytes.Equal(second, user.Leaf().Raw) {
			t.Fatalf("a changed certificate passes: %x", first)
		}
	})
}

func FuzzSigningPolicy(f *testing.F) {
	f.Add("access_id_CA X509 '/C=XX/CN=CA'\npos_rights globus CA:sign\ncond_subjects globus '\"/C=XX/*\" \"/C=YY/*/CN=*\"'\n", "/C=XX/CN=Jane")
	f.Add("access_id_ANYBODY\nneg_rights globus CA:sign # x\ncond_subjects globus \"'/C=XX/*'\"", "/C=XX/O=Lab")
	f.Fuzz(func(t *testing.T, text, subject string) {
		policy, err := parsePolicy([]byte(text))
		if err != nil {
			return
		}
		policy.allows("/C=XX/CN=CA", subject)
	})
}

func FuzzMatchPattern(f *testing.F) {
	f.Add("/c=*/o=lab/*", "/c=xx/o=lab/cn=jane")
	f.Fuzz(func(t *testing.T, pattern, subject string) {
		if got, want := matchPattern(pattern, subject), slowMatch(pattern, subject, time.Now().Add(time.Second)); want != nil && got != *want {
			t.Fatalf("%q %q: %v", pattern, subject, got)
		}
	})
}

// slowMatch tries every length for every '*'; nil where that takes too long.
func slowMatch(pattern, s string, until time.Time) *bool {
	answer := func(b bool) *bool { return &b }
	switch {
	case time.Now().After(until):
		return nil
	case pattern == "":
		return answer(s == "")
	case s == "":
		return answer(false)
	case pattern[0] != '*':
		if pattern[0] != s[0] {
			return answer(false)
		}
		return slowMatch(pattern[1:], s[1:], until)
	}
	for i := 1; i <= len(s); i++ {
		if got := slowMatch(pattern[1:], s[i:], until); got == nil || *got {
			return got
		}
	}
	return answer(false)
}
