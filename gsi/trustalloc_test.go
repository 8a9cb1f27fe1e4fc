package gsi

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"
)

// allocated is how many bytes f takes from the heap in all, given back or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestTrustAllocation: what a file of a trust directory takes is a multiple of
// its size, whatever is written in it; the multiples are those that TrustDir
// states. The inputs are what costs most for its length, below the limits on
// numbers of words and rules and above.
func TestTrustAllocation(t *testing.T) {
	for _, size := range []int{10_000, 200_000} {
		trustAllocation(t, size)
	}
}

func trustAllocation(t *testing.T, size int) {
	fill := func(head, body string) string {
		return head + strings.Repeat(body, max(1, (size-len(head))/len(body)))
	}
	policy := func(text string) { _, _ = parsePolicy([]byte(text)) }
	spaces := func(text string) { _, _ = parseNamespaces([]byte(text)) }
	info := func(text string) { _, _ = ParseAnchorInfo([]byte(text)) }
	const rule = "TO Issuer SELF PERMIT Subject "
	for why, tt := range map[string]struct {
		text  string
		parse func(string)
	}{
		"policy of words":        {fill("", "a "), policy},
		"policy of quotes":       {fill("", `"" `), policy},
		"policy of principals":   {fill("", "access_id_ANYBODY\n"), policy},
		"policy of rights":       {fill("access_id_ANYBODY\n", "pos_rights x y\n"), policy},
		"policy of conditions":   {fill("access_id_ANYBODY\npos_rights x y\n", "cond_x a b\n"), policy},
		"policy of patterns":     {fill("access_id_ANYBODY\npos_rights x y\ncond_subjects globus '", `""`) + "'", policy},
		"policy of backslashes":  {fill("'", `\\`) + "'", policy},
		"namespaces of rules":    {fill("", rule+"'x'\n"), spaces},
		"namespaces of sets":     {fill("", rule+"'"+strings.Repeat("[a]", 600)+"'\n"), spaces},
		"namespaces, non-ASCII":  {fill("", rule+"'"+strings.Repeat("\xff", 1900)+"'\n"), spaces},
		"namespaces of comments": {fill("", "#\n"), spaces},
		"namespaces, one string": {fill(rule+"'", "a") + "'", spaces},
		"namespaces, E":          {fill("", rule+"'"+strings.Repeat("/e=", 600)+"'\n"), spaces},
		"info of items":          {fill("requires=", "a,"), info},
		"info of lists":          {fill("", "requires=a\n"), info},
		"info of keys":           {fill("", "a=\n"), info},
		"info of continuations":  {fill("a=", "\\\n"), info},
		"info of quotes":         {fill("requires=", `"a"`), info},
	} {
		tt.parse(tt.text) // what is made once
		if got, most := allocated(func() { tt.parse(tt.text) }), uint64(128*len(tt.text)+64<<10); got > most {
			t.Errorf("%s: %d bytes for %d", why, got, len(tt.text))
		} else {
			t.Logf("%s: %.1f times", why, float64(got)/float64(len(tt.text)))
		}
	}
}

// TestCRLAllocation: the same for a revocation list of many entries.
func TestCRLAllocation(t *testing.T) {
	for _, reason := range []int{0, 1} {
		crlAllocation(t, reason)
	}
}

func crlAllocation(t *testing.T, reason int) {
	t.Helper()
	f := newTrust(t)
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: testTime, NextUpdate: testTime.Add(time.Hour)}
	for i := range int64(20_000) {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(i), RevocationTime: testTime, ReasonCode: reason})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, f.sub.cert, f.sub.key)
	if err != nil {
		t.Fatal(err)
	}
	f.add(t, f.sub, ".r0", der)
	dir := f.open(t)
	got := allocated(func() {
		if err := dir.Verify(f.user.Chain, testTime, TrustOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%.1f times", float64(got)/float64(len(der)))
	if most := uint64(64*len(der) + 1<<20); got > most {
		t.Errorf("%d bytes for %d", got, len(der))
	}
}
