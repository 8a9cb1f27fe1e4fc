package myproxy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/voms"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

const (
	atlasA = `"atlas" "a.example.org" "15001" "/DC=org/CN=a" "atlas"`
	atlasB = `"atlas" "b.example.org" "15001" "/DC=org/CN=b" "atlas" "24"`
	alias  = `"our-dteam" "d.example.org" "15004" "/DC=org/CN=d" "dteam"`
)

func TestParseVOMSES(t *testing.T) {
	for _, tc := range []struct {
		line string
		n    int // 0: refused
	}{
		{atlasA, 5}, {atlasB, 6}, {"  \t" + atlasA + "  ", 5},
		{`"a""b""1""/CN=c""d"`, 5},
		{`"a" "b" "1" "/CN=c"`, 0},
		{`"a" "b" "1" "/CN=c" "d" "24" "x"`, 0},
		{`a b 1 /CN=c d`, 0},
		{`"a" "b" "1" "/CN=c" "d`, 0},
		{`"a" "b" "1" "/CN=c" "d" # comment`, 0},
		{atlasA + "\nCOMMAND=3", 0},
		{`"a" "b" "1" "/CN=c\r" "d"`, 5}, // a backslash is no escape
		{"\"a\" \"b\" \"1\" \"/CN=c\r\" \"d\"", 0},
		{`"a" "b" "1" "/CN=LIFETIME=5" "d"`, 0},
		{"", 0},
	} {
		fields, err := ParseVOMSES(tc.line)
		if (err == nil) != (tc.n > 0) || len(fields) != tc.n {
			t.Errorf("%q: got %q, %v", tc.line, fields, err)
		}
	}
}

func TestFindVOMSES(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	user := file("user", "# mine\n\n"+atlasB+"\r\nnonsense\n")
	file("site/atlas", atlasA+"\n")
	file("site/dteam", alias) // no final newline
	file("site/.hidden", `"atlas" "hidden" "1" "/CN=h" "atlas"`)
	file("site/backup~", `"atlas" "backup" "1" "/CN=h" "atlas"`)
	must(t, os.Mkdir(filepath.Join(dir, "site", "sub"), 0o755))
	site := filepath.Join(dir, "site")
	huge := file("huge", strings.Repeat(atlasA+"\n", maxVOMSES/len(atlasA)+1))

	for _, tc := range []struct {
		name   string
		vos    []string
		places []string
		want   []string
	}{
		{"the first place that knows the VO", []string{"atlas"}, []string{user, site}, []string{atlasB}},
		{"another VO from another place", []string{"atlas", "dteam"}, []string{user, site}, []string{atlasB, alias}},
		{"by alias", []string{"our-dteam"}, []string{site}, []string{alias}},
		{"no line twice", []string{"dteam", "our-dteam"}, []string{site}, []string{alias}},
		{"absent places are passed by", []string{"atlas"}, []string{filepath.Join(dir, "none"), site}, []string{atlasA}},
		{"nobody knows it", []string{"cms"}, []string{user, site}, nil},
		{"too big a file", []string{"atlas"}, []string{huge, user}, []string{atlasB}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := findVOMSES(tc.vos, tc.places); !slices.Equal(got, tc.want) {
				t.Errorf("got %q\nwant %q", got, tc.want)
			}
		})
	}
}

// The profile's lines, else VOMS_USERCONF, the home directory, the system.
func TestVOMSESOfASpec(t *testing.T) {
	home := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(home, ".glite"), 0o755))
	must(t, os.WriteFile(filepath.Join(home, ".glite", "vomses"), []byte(atlasA), 0o644))
	system := filepath.Join(home, "system")
	must(t, os.WriteFile(system, []byte(alias), 0o644))
	conf := filepath.Join(home, "conf")
	must(t, os.WriteFile(conf, []byte(atlasB), 0o644))

	atlas := []voms.Request{{VO: "atlas"}}
	for _, tc := range []struct {
		name    string
		env     env
		profile []string
		ask     []voms.Request
		want    []string
		err     bool
	}{
		{name: "the profile's, all of them", env: env{"VOMS_USERCONF": conf}, profile: []string{alias, atlasA}, ask: atlas, want: []string{alias, atlasA}},
		{name: "VOMS_USERCONF", env: env{"VOMS_USERCONF": conf}, ask: atlas, want: []string{atlasB}},
		{name: "the home directory", ask: atlas, want: []string{atlasA}},
		{name: "the system", ask: []voms.Request{{VO: "dteam"}}, want: []string{alias}},
		{name: "none without a VO", profile: []string{atlasA}},
		{name: "a bad line of the profile", profile: []string{"atlas a.example.org"}, ask: atlas, err: true},
		{name: "a line break in the profile", profile: []string{atlasA + "\n"}, ask: atlas, err: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := New(Options{Getenv: tc.env.get, Home: home, SystemVOMSES: system}).(*backend)
			got, err := b.vomses(&helper.Spec{Profile: &helper.Profile{Name: "test", VOMSES: tc.profile}, VOMS: tc.ask})
			if (err != nil) != tc.err || !slices.Equal(got, tc.want) {
				t.Errorf("got %q, %v", got, err)
			}
			if tc.err && code(err) != helper.CodeNotConfigured {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzParseVOMSES(f *testing.F) {
	f.Add(atlasA)
	f.Add(atlasB)
	f.Add(`"a""b""1""/CN=c""d"`)
	f.Fuzz(func(t *testing.T, line string) {
		fields, err := ParseVOMSES(line)
		if err != nil {
			return
		}
		sent := joinVOMSES(fields)
		again, err := ParseVOMSES(sent)
		if err != nil || !slices.Equal(fields, again) || strings.ContainsAny(sent, "\r\n\x00") {
			t.Errorf("%q becomes %q, %v", line, sent, err)
		}
	})
}

func FuzzParseServers(f *testing.F) {
	f.Add("a:1,b", "7512")
	f.Add("[::1]:99", "1")
	f.Add("user@host", "7512")
	f.Fuzz(func(t *testing.T, list, port string) {
		hosts, err := ParseServers([]string{list}, port)
		if err != nil {
			return
		}
		again, err := ParseServers(hosts, port)
		if err != nil || !slices.Equal(hosts, again) || len(hosts) > 0 && checkHosts(hosts) != nil {
			t.Errorf("%q: %q, again %q, %v", list, hosts, again, err)
		}
	})
}
