package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// callersPage is docs/callers.md.
func callersPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/callers.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// snippets are the programs of docs/callers.md, by language, in their order.
func snippets(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, m := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(callersPage(t), -1) {
		found[m[1]] = append(found[m[1]], m[2])
	}
	return found
}

// callers makes programs of them; each takes a URL and prints a path.
func callers(t *testing.T, dir string) map[string][]string {
	t.Helper()
	found := snippets(t)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	build := func(name string, arg ...string) {
		if out, err := exec.Command(name, arg...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	for language, n := range map[string]int{"python": 1, "c": 1, "sh": 2, "go": 1} {
		if len(found[language]) != n {
			t.Fatalf("the page has %d programs in %s, and %d are known here", len(found[language]), language, n)
		}
	}
	if len(found) != 4 {
		t.Fatal("the page has a program in a language that is not run here")
	}
	file("fake", found["sh"][1])
	lines := regexp.MustCompile(`(?m)^    (X509_USER_PROXY=.*\n)    (export .*\n)`).FindStringSubmatch(callersPage(t))
	if lines == nil {
		t.Fatal("the page does not show the command path")
	}
	inC, inGo := filepath.Join(dir, "in-c"), filepath.Join(dir, "in-go")
	build("cc", "-Wall", "-Wextra", "-Werror", "-std=c11", "-o", inC, file("proxy.c", found["c"][0]), "-ljson-c")
	build("go", "build", "-o", inGo, file("proxy.go", found["go"][0]))
	return map[string][]string{
		"python": {"/usr/bin/python3", file("proxy.py", found["python"][0])},
		"c":      {inC},
		"shell":  {"/bin/sh", file("proxy.sh", found["sh"][0])},
		"go":     {inGo},
		"path":   {"/bin/sh", file("path.sh", "URL=$1\n"+lines[1]+lines[2]+"sh -c 'echo $X509_USER_PROXY'\n")},
	}
}

// theirHelpers are helpers that do as they like.
var theirHelpers = map[string]string{
	"deaf":    `exec <&-; echo '{"version":1,"credential":{"path":"/deaf"}}'`,
	"later":   `cat >/dev/null; echo '{"moon":{"full":[true]},"version":1,"credential":{"path":"/später","age":7}}'; exit 9`,
	"refuses": `cat >/dev/null; echo '{"version":1,"error":{"code":"full_moon","message":"böse Zeit","retryable":false}}'`,
	"mute":    `cat >/dev/null`,
	"garbage": `cat >/dev/null; echo 'Segmentation fault'`,
}

// TestCallers: the programs of docs/callers.md do in every language what the page
// says, with this helper and with worse ones.
func TestCallers(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.Callers)
	w := newWorld(t, inMemory)
	programs := callers(t, w.dir)
	config, err := os.ReadFile(w.path("config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	matched := strings.Replace(string(config), "backend ", "match = [\"root://*.example.org\"]\nbackend ", 1)
	if err := os.WriteFile(w.path("config.toml"), []byte(matched), 0o600); err != nil {
		t.Fatal(err)
	}
	w.login()
	for name, text := range theirHelpers {
		if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const known, unknown = "root://se.example.org//data", "root://se.example.com//data"
	const nasty = known + "$(touch${IFS}pwned)`touch${IFS}pwned`';\"&*?~é"
	path := pathOf(t, w.run(`{"url":"`+known+`","output":"path"}`, "get"))
	for _, test := range []struct {
		name, url, helper string
		path              string // "" is a failure
		says              string
	}{
		{"as it is", known, "", path, ""},
		{"arguments", known, "env  NOTHING=$HOME;x\t" + w.program, path, ""},
		{"a URL that is a program to a shell", nasty, "", path, ""},
		{"a URL that nobody knows", unknown, "", "", "no proxy for " + unknown + ": no profile matches this URL; add it to the match list of a profile"},
		{"no URL", "se.example.org", "", "", "must begin with a scheme"},
		{"no helper", known, "/no/such/helper", "", "helper"},
		{"a helper that does not read", known + strings.Repeat("x", 100_000), "sh deaf", "/deaf", ""},
		{"a helper of tomorrow, in another language", known, "sh later", "/später", ""},
		{"a code of tomorrow", known, "sh refuses", "", "no proxy for " + known + ": böse Zeit\n"},
		{"a helper that says nothing", known, "sh mute", "", ""},
		{"a helper that crashes", known, "sh garbage", "", ""},
		{"the page's own", known, "sh fake", "", "no proxy for " + known + ": too much to do; wait\n"},
	} {
		for language, argv := range programs {
			says := test.says
			if language == "path" { // a command of this program, no verb; the hint has a line of its own
				says, _, _ = strings.Cut(strings.TrimPrefix(says, "no proxy for "+test.url+": "), ";")
				if test.helper != "" {
					continue
				}
			}
			t.Run(test.name+"/"+language, func(t *testing.T) {
				cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], test.url)...)
				cmd.Dir, cmd.Env = w.dir, append(w.env[:len(w.env):len(w.env)], "X509_CREDENTIAL_HELPER="+test.helper)
				r := w.finish(cmd)
				if got := strings.TrimSuffix(r.stdout, "\n"); got != test.path || (r.status == 0) != (test.path != "") {
					t.Errorf("status %d, printed %q, expected %q; %s", r.status, got, test.path, r.stderr)
				}
				if !strings.Contains(r.stderr, says) {
					t.Errorf("said %q, expected %q", r.stderr, says)
				}
			})
		}
	}
	if _, err := os.Stat(w.path("pwned")); err == nil {
		t.Error("a part of a URL was run")
	}
}

// pathOf is the path in an answer of get.
func pathOf(t *testing.T, r result) string {
	t.Helper()
	var a helper.GetAnswer
	if err := json.Unmarshal([]byte(r.stdout), &a); err != nil || a.Credential.Path == "" {
		t.Fatalf("%v, %s", err, r.stdout)
	}
	return a.Credential.Path
}

// TestCallersPage: the codes, fields and requests that the page speaks of are
// those of the protocol.
func TestCallersPage(t *testing.T) {
	page := callersPage(t)
	codes := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*`) \\|").FindAllStringSubmatch(callersPage(t), -1) {
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			codes++
			if c := helper.Code(m[1]); m[1] != "code" && c.ExitStatus() == 1 {
				t.Errorf("the protocol has no code %s", c)
			}
		}
	}
	if codes < 10 {
		t.Errorf("only %d codes were found", codes)
	}
	rejected := regexp.MustCompile(`\{"fingerprint":.*?\}`).FindString(page)
	rejected = strings.Replace(rejected, "…", strings.Repeat("0a", 32), 1)
	if err := conforms(t, "erase.request", []byte(rejected)); err != nil {
		t.Errorf("%s: %v", rejected, err)
	}
}
