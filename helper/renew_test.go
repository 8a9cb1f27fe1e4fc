package helper

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
)

// TestUsualMinimum: a request that names no minimum has the profile's, else ten
// minutes in a job, else five; one that does has its own, none included.
func TestUsualMinimum(t *testing.T) {
	const profile = "default_profile = \"p\"\n[profile.p]\nbackend = \"test\"\nkey = \"p256\"\n"
	for _, c := range []struct {
		config, variable, request string
		want                      time.Duration
	}{
		{profile, "", `{}`, 5 * time.Minute},
		{profile, "SLURM_JOB_ID", `{}`, 10 * time.Minute},
		{profile, "_CONDOR_SCRATCH_DIR", `{}`, 10 * time.Minute},
		{profile, "KUBERNETES_SERVICE_HOST", `{}`, 10 * time.Minute},
		{profile, "SLURM_JOB_ID", `{"min_lifetime":60}`, time.Minute},
		{profile, "SLURM_JOB_ID", `{"min_lifetime":0}`, 0},
		{profile + "min_lifetime = \"20m\"\n", "", `{}`, 20 * time.Minute},
		{profile + "min_lifetime = \"20m\"\n", "SLURM_JOB_ID", `{}`, 20 * time.Minute},
	} {
		w := newWorld(t, c.config)
		w.storePass(t, "right")
		w.Getenv = func(name string) string {
			if name == c.variable {
				return "1"
			}
			return ""
		}
		first := w.must(t, c.request)
		w.now = first.Credential.NotAfter.Add(-c.want)
		w.issuer.err = Errorf(CodeBackendUnavailable, "nobody there")
		if c.want > 0 {
			w.must(t, c.request)
		}
		w.now = w.now.Add(time.Second)
		w.refused(t, c.request, CodeBackendUnavailable)
	}
}

// TestSoftThreshold: past it a failure is a warning that says whether anybody
// has to do something, to all callers, but only the first one asks; each pause
// is longer than the one before. Below the hard threshold it is an error.
func TestSoftThreshold(t *testing.T) {
	for _, c := range []struct {
		err        *Error
		code, text string
	}{
		{Errorf(CodeBackendUnavailable, "nobody there"), "renewal_failed", "was not renewed: nobody there; it is tried again"},
		{Errorf(CodeTimeout, "silence"), "renewal_failed", "was not renewed: silence; it is tried again"},
		{Errorf(CodeAuthorizationDenied, "not you").WithHint("ask the admin"), "renewal_blocked", "was not renewed: not you; ask the admin"},
		{Errorf(CodeInteractionRequired, "the seed expired").WithHint("put another one there"), "renewal_blocked", "was not renewed: the seed expired; put another one there"},
	} {
		w := newWorld(t, "")
		w.issuer.pass = "" // or it were waited for another reason
		first := w.must(t, `{}`)
		w.now = first.Credential.RefreshAfter.Add(time.Second)
		w.issuer.err = c.err
		for round, longest := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
			for range 2 {
				a := w.must(t, `{}`)
				if got := warningOf(a.Warnings, c.code); len(a.Warnings) != 1 || !strings.HasSuffix(got, c.text) || !strings.HasPrefix(got, "the credential lives another ") {
					t.Errorf("%+v", a.Warnings)
				}
			}
			w.slept += longest/2 - time.Second
			w.must(t, `{}`)
			if n := w.issuer.count(); n != 2+round {
				t.Fatalf("%d calls in round %d: too early", n, round)
			}
			w.slept += longest/2 + time.Second
		}
		w.now = first.Credential.NotAfter.Add(-time.Minute)
		w.refused(t, `{}`, c.err.Code)
		w.issuer.err = nil
		w.slept += 15 * time.Minute // a refusal is not put to the server again at once
		if a := w.must(t, `{}`); a.Source != SourceBackend || warningOf(a.Warnings, c.code) != "" {
			t.Errorf("mended: %+v", a)
		}
	}
}

// fleet is ten thousand batch nodes whose jobs run all the time, in virtual
// seconds: a credential is asked for as soon as it may be renewed.
type fleet struct {
	attempts []int // in each second
	broken   func(second int) bool
}

const (
	fleetNodes = 10_000
	// fleetRate is what the nodes together must not exceed: logons in a second,
	// as the mean of any minute. One core of a MyProxy server does fifty.
	fleetRate = 25
	fleetLife = 12 * 3600
)

// run lets the nodes begin within a minute with a seed of that life.
func (f *fleet) run(seed, end int) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	f.attempts = make([]int, end)
	for node := range fleetNodes {
		host := fmt.Sprintf("node%05d 1500", node)
		now := cache.Instant{Boot: host}
		second := rand.IntN(60)
		renew := defaultRenew.after(host, cache.Binding{Profile: "batch"}, at(second), at(seed))
		var failed *setback
		for {
			second = max(second, int(renew.Sub(start).Seconds()))
			if second >= end {
				break
			}
			f.attempts[second]++
			if f.broken(second) {
				failed = failed.next(Errorf(CodeBackendUnavailable, "nobody there"), now)
				second += int(failed.Pause.Seconds()) + 1
				continue
			}
			failed = nil
			renew = defaultRenew.after(host, cache.Binding{Profile: "batch"}, at(second), at(second+fleetLife))
		}
	}
}

// peak is the busiest minute's mean a second.
func (f *fleet) peak() float64 {
	most, sum := 0, 0
	for i, n := range f.attempts {
		sum += n
		if i >= 60 {
			sum -= f.attempts[i-60]
		}
		most = max(most, sum)
	}
	return float64(most) / 60
}

// TestFleetRate: ten thousand nodes stay under the rate that docs/batch.md
// states, from their common start on, while the server is down for hours, and
// when it comes back.
func TestFleetRate(t *testing.T) {
	never := func(int) bool { return false }
	between := func(from, to int) func(int) bool {
		return func(second int) bool { return second >= from*3600 && second < to*3600 }
	}
	for name, c := range map[string]struct {
		seed   int
		broken func(int) bool
		most   float64
	}{
		"seed of 12 h":       {fleetLife, never, 1.5},
		"seed of 1 h":        {3600, never, fleetRate},
		"an hour's outage":   {fleetLife, between(7, 8), fleetRate},
		"two hours' outage":  {fleetLife, between(6, 8), fleetRate},
		"three hours of it":  {fleetLife, between(6, 9), fleetRate},
		"later, three hours": {fleetLife, between(20, 23), fleetRate},
	} {
		f := &fleet{broken: c.broken}
		f.run(c.seed, 48*3600)
		if got := f.peak(); got > c.most || got == 0 {
			t.Errorf("%s: %.2f a second, stated are %v", name, got, c.most)
		} else {
			t.Logf("%s: %.2f a second in the busiest minute, %d in the busiest second", name, got, slices.Max(f.attempts))
		}
	}
}
