package myproxy

import (
	"bufio"
	"crypto/x509"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// A lifetime is sent in whole seconds, rounded up, never as zero, and never as
// what an int of 32 bits, which is a server's, cannot hold.
func TestWholeSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		0: 43200, 1: 1, time.Nanosecond + time.Second: 2, time.Second: 1, 2*time.Second - 1: 2, 90 * time.Minute: 5400,
		math.MaxInt32 * time.Second: math.MaxInt32, math.MaxInt32*time.Second - 1: math.MaxInt32,
		-1: 0, -time.Second: 0, math.MinInt64: 0, math.MaxInt32*time.Second + 1: 0, math.MaxInt64: 0,
	} {
		got, err := wholeSeconds(fieldLifetime, d)
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%d ns: %d, %v", d, got, err)
		}
	}
}

// What a server may repeat has a bound, and what it says twice must be the same.
func TestResponseBounds(t *testing.T) {
	parse := func(text string) (*response, error) {
		in := bufio.NewReader(strings.NewReader(text))
		if err := skipNULs(in); err != nil {
			return nil, err
		}
		return readResponse(in, false)
	}
	nuls := func(n int) string { return strings.Repeat("\x00", n) + okResponse }
	for text, good := range map[string]bool{
		nuls(maxLeadingNULs - 1): true, nuls(maxLeadingNULs): false,
		"VERSION=MYPROXYv2\nRESPONSE=0\nRESPONSE=0\n\x00": true, "VERSION=MYPROXYv2\nRESPONSE=0\nRESPONSE=1\n\x00": false,
		"VERSION=MYPROXYv2\nRESPONSE=3\n\x00": false, "VERSION=MYPROXYv2\nRESPONSE=\n\x00": false, "VERSION=MYPROXYv2\n\x00": false,
		"VERSION=MYPROXYv1\nRESPONSE=0\n\x00": false, "VERSION=\nRESPONSE=0\n\x00": false,
	} {
		if _, err := parse(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	got, err := parse("VERSION=MYPROXYv2\nRESPONSE=2\n" + strings.Repeat("ERROR=x\nAUTHORIZATION_DATA=y\n", 100) + "\x00")
	if err != nil || len(got.texts) != maxErrorTexts || len(got.challenges) != maxChallenges {
		t.Errorf("%d texts, %d challenges, %v", len(got.texts), len(got.challenges), err)
	}
}

// A proof that needs two records would be cut between them.
func TestRenewalBound(t *testing.T) {
	w := newWorld(t)
	const most = maxMessageOut - proofHeader - maxSignature - 1
	for size, good := range map[int]bool{most: true, most + 1: false} {
		cert, err := x509.ParseCertificate([]byte(w.bigCertificate(size)))
		must(t, err)
		err = checkRenew(&LogonRequest{Renew: &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: w.key}})
		if (err == nil) != good {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
