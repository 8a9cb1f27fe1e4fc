package consumer

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestURLs: where a command goes decides which proxy it gets, so what only looks
// like a destination must not count, and nothing that is one be missed.
func TestURLs(t *testing.T) {
	for _, tc := range []struct{ command, want string }{
		{"xrdcp -f root://a//x root://b//y", "root://a//x root://b//y"},
		{"/usr/bin/xrdcp --nopbar Root://A//x .", "Root://A//x"},
		{"gfal-copy file:///etc/passwd davs://b/y", "davs://b/y"},
		{"gfal-copy FILE:///x file:///y", ""},
		{"gfal-ls --time-style=full srm://c:8446/srm?SFN=/x", "srm://c:8446/srm?SFN=/x"},
		{"xrdfs host:1094 ls /x", "root://host:1094"},
		{"xrdfs --no-cwd root://host ls root://odd", "root://host"},
		{"xrdfs", ""},
		{"xrdcp root://a//x?xrd.gsiusrpxy=/mine root://b//y", "root://b//y"},
		{"xrdcp root://a//x?u=v&xrd.gsiusrcrt=/c&xrd.gsiusrkey=/k root://b//y", "root://b//y"},
		{"curl -sSe https://referer https://a/x", "https://a/x"},
		{"curl -e https://referer -x http://proxy --url https://a/x", "https://a/x"},
		{"curl --proxy http://proxy -d https://data -Hhttps://x https://a/x --next https://b/y", "https://a/x https://b/y"},
		{"curl -o out -- https://a/x", "https://a/x"},
		{"curl -- -e https://a/x", "https://a/x"},
		{"davix-get -x socks5://proxy https://a/x", "https://a/x"},
		{"davix-get --proxy socks5://proxy -P grid davs://a/x", "davs://a/x"},
		{"python3 job.py root://a//x --from=root://b//y ://no 1a://no a/b://no", "root://a//x"},
		{"sh -c x", ""},
		{"root://a//x", ""},
	} {
		if got := strings.Join(URLs(strings.Fields(tc.command)), " "); got != tc.want {
			t.Errorf("%s\ngot  %q\nwant %q", tc.command, got, tc.want)
		}
	}
	if URLs(nil) != nil {
		t.Error("no command goes somewhere")
	}
}

// TestAdapt: curl and davix are told, all others left alone, and nobody is
// overruled.
func TestAdapt(t *testing.T) {
	proxy := Proxy{File: "/run/p.pem", Anchors: "/ca"}
	const ours = "--cert /run/p.pem --key /run/p.pem --capath /ca"
	for _, tc := range []struct{ command, want string }{
		{"curl https://a/x", "curl " + ours + " https://a/x"},
		{"/opt/bin/curl https://a/x", "/opt/bin/curl " + ours + " https://a/x"},
		{"curl", "curl " + ours},
		// ~/.curlrc is ignored only where the first argument says so.
		{"curl -q https://a/x", "curl -q " + ours + " -q https://a/x"},
		{"curl -sq https://a/x", "curl -q " + ours + " -sq https://a/x"},
		{"curl --disable https://a/x", "curl -q " + ours + " --disable https://a/x"},
		{"curl -s -q https://a/x", "curl " + ours + " -s -q https://a/x"},
		// The next transfer inherits no options.
		{"curl https://a/x --next https://b/y -: https://c", "curl " + ours + " https://a/x --next " + ours + " https://b/y -: " + ours + " https://c"},
		{"curl -o --next https://a/x", "curl " + ours + " -o --next https://a/x"},
		// The user's own certificate, key or trust stay alone.
		{"curl --cert c.pem https://a/x", "curl --capath /ca --cert c.pem https://a/x"},
		{"curl -sEc.pem https://a/x", "curl --capath /ca -sEc.pem https://a/x"},
		{"curl -sSE c.pem https://a/x", "curl --capath /ca -sSE c.pem https://a/x"},
		{"curl --key k.pem https://a/x", "curl --capath /ca --key k.pem https://a/x"},
		{"curl --cacert ca.pem https://a/x", "curl --cert /run/p.pem --key /run/p.pem --cacert ca.pem https://a/x"},
		{"curl --capath /x https://a/x", "curl --cert /run/p.pem --key /run/p.pem --capath /x https://a/x"},
		{"curl -o --cert https://a/x", "curl " + ours + " -o --cert https://a/x"},
		{"davix-get davs://a/x", "davix-get -P grid davs://a/x"},
		{"davix -P s3 https://a/x", "davix -P s3 https://a/x"},
		{"davix-ls --module grid davs://a/x", "davix-ls --module grid davs://a/x"},
		{"davix-ls -E c.pem davs://a/x", "davix-ls -E c.pem davs://a/x"},
		{"xrdcp root://a//x .", "xrdcp root://a//x ."},
		{"gfal-ls davs://a/x", "gfal-ls davs://a/x"},
		{"sh -c curl", "sh -c curl"},
	} {
		argv := strings.Fields(tc.command)
		before := slices.Clone(argv)
		if got := strings.Join(Adapt(argv[0], argv, proxy), " "); got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.command, got, tc.want)
		}
		if !slices.Equal(argv, before) {
			t.Errorf("%s: the words that were given have changed: %q", tc.command, argv)
		}
	}
	got := Adapt("curl", []string{"curl"}, Proxy{File: `/run/a:b\c.pem`})
	want := []string{"curl", "--cert", `/run/a\:b\\c.pem`, "--key", `/run/a:b\c.pem`}
	if !slices.Equal(got, want) {
		t.Errorf("a colon begins a pass phrase: got %q, want %q", got, want)
	}
}

// matchByHost knows two profiles: hosts that begin with a, and those with b.
func matchByHost(url string) (string, error) {
	_, host, _ := strings.Cut(url, "://")
	switch host[0] {
	case 'a':
		return "alpha", nil
	case 'b':
		return "beta", nil
	case '!':
		return "", errors.New("ambiguous")
	}
	return "", nil
}

// TestPlan: one proxy where one will do, two where the tool can, and otherwise a
// sentence.
func TestPlan(t *testing.T) {
	for _, tc := range []struct{ command, profiles, applied, err string }{
		{command: "xrdcp file .", profiles: "", applied: "xrdcp file ."},
		{command: "xrdcp root://x//f .", profiles: "", applied: "xrdcp root://x//f ."},
		{command: "xrdcp root://a//f root://a2//f", profiles: "alpha", applied: "xrdcp root://a//f root://a2//f"},
		{command: "xrdcp root://x//f root://b//f", profiles: "beta", applied: "xrdcp root://x//f root://b//f"},
		{command: "xrdcp root://a//f?u=v root://b//f root://x//f", profiles: "alpha beta",
			applied: "xrdcp root://a//f?u=v&xrd.gsiusrpxy=/p/alpha root://b//f?xrd.gsiusrpxy=/p/beta root://x//f?xrd.gsiusrpxy=/p/alpha"},
		{command: "xrdcp root://a//f https://b/f", profiles: "beta alpha", applied: "xrdcp root://a//f?xrd.gsiusrpxy=/p/alpha https://b/f"},
		{command: "xrdcp https://a/f https://b/f", err: `need two profiles, "alpha" and "beta", but xrdcp can`},
		{command: "/bin/gfal-copy root://a//f root://b//f", err: `need two profiles, "alpha" and "beta", but gfal-copy can`},
		{command: "curl https://a/f https://b/f", err: "but curl can use only one proxy"},
		{command: "xrdcp root://a//f root://!//f", err: "ambiguous"},
	} {
		argv := strings.Fields(tc.command)
		before := slices.Clone(argv)
		plan, err := NewPlan(argv, matchByHost)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: expected %q, got %v", tc.command, tc.err, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.command, err)
			continue
		}
		applied, err := plan.Apply(argv, map[string]string{"alpha": "/p/alpha", "beta": "/p/beta"})
		if err != nil || strings.Join(plan.Profiles(), " ") != tc.profiles || strings.Join(applied, " ") != tc.applied {
			t.Errorf("%s\ngot  %q, %q, %v\nwant %q, %q", tc.command, plan.Profiles(), applied, err, tc.profiles, tc.applied)
		}
		if !slices.Equal(argv, before) {
			t.Errorf("%s: the words that were given have changed: %q", tc.command, argv)
		}
	}
	plan, err := NewPlan([]string{"xrdcp", "root://a//f", "root://b//f"}, matchByHost)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Apply([]string{"xrdcp", "root://a//f", "root://b//f"}, map[string]string{"alpha": "/p&q"}); err == nil {
		t.Error("a path that is no part of a URL stands in one")
	}
}
