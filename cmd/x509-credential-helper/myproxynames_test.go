package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// listed is an option as a program's help lists it.
type listed struct {
	letter, long string
	value        bool
}

// helpLine finds "-o | --out <path>" of the C programs and "-o OUTFILE,
// --out=OUTFILE" of Python's optparse.
var helpLine = regexp.MustCompile(`(?m)^ +-(\w)(?: \w+)?(?: \||,) --(\w+)(=\w+| +<| +#)?`)

// helpOf is what the program itself says that it takes. MyProxyClient is no
// Debian package: its help was written down, from version 2.2.0.
func helpOf(t *testing.T, program string) []listed {
	t.Helper()
	var text []byte
	var err error
	if program == mpClientName {
		text, err = os.ReadFile("testdata/myproxyclient.help")
	} else {
		lab.Require(t, lab.MyProxyClient)
		text, err = exec.Command(program, "-h").CombinedOutput()
	}
	if err != nil {
		t.Fatalf("%s -h: %v", program, err)
	}
	var list []listed
	for _, m := range helpLine.FindAllStringSubmatch(string(text), -1) {
		list = append(list, listed{m[1], m[2], m[3] != ""})
	}
	if len(list) < 8 {
		t.Fatalf("%s -h lists only %d options:\n%s", program, len(list), text)
	}
	return list
}

// TestNames: under the name of another program every option that its own help
// lists is taken, by letter and by name, with a value where it has one, or is
// refused with a reason.
func TestNames(t *testing.T) {
	for i := range mpNames {
		n := &mpNames[i]
		t.Run(n.name, func(t *testing.T) {
			for _, o := range helpOf(t, n.name) {
				letter := parseOne(t, n, "-"+o.letter, o.value)
				long := parseOne(t, n, "--"+o.long, o.value)
				if letter != long {
					t.Errorf("-%s is %s, but --%s is %s", o.letter, letter, o.long, long)
				}
			}
		})
	}
}

// parseOne says what becomes of one option, for a value of 7.
func parseOne(t *testing.T, n *mpName, option string, value bool) string {
	t.Helper()
	args := []string{option}
	if value {
		args = append(args, "7")
	}
	command := n.command
	if command == "" {
		command = "logon"
	}
	sorted, err := (&process{called: n}).mpArguments(command, append(args, "word"))
	var usage *usageError
	switch {
	case errors.Is(err, errHelp):
		return "help"
	case errors.As(err, &usage) && strings.Contains(usage.text, "is not taken: ") && len(usage.text) > 60:
		return usage.text // with its reason
	case err != nil:
		t.Errorf("%s %s: %v", n.name, option, err)
		return ""
	case !slices.Equal(sorted.words, []string{"word"}):
		t.Errorf("%s %s: the words are %q", n.name, option, sorted.words)
	}
	return fmt.Sprint(sorted.options)
}

// TestLetters: what differs between the programs means what it means there.
func TestLetters(t *testing.T) {
	for _, tc := range []struct{ program, args, want string }{
		{"myproxy-logon", "-a f", "--authorization=f"},
		{"myproxy-init", "-a", "--allow-anonymous-retrievers"},
		{"myproxy-store", "-a", "--allow-anonymous-retrievers"},
		{"myproxy-init", "-c 5", "--cred-lifetime=5"},
		{"myproxy-store", "-c f", "--certfile=f"},
		{"myproxy-retrieve", "-c f", "--certfile=f"},
		{"myproxy-init", "-C f", "--certfile=f"},
		{"myproxyclient", "-C d", "--cadir=d"},
		{"myproxy-init", "-t 5", "--max-lifetime=5"},
		{"myproxy-logon", "-t 5", "--lifetime=5"},
		{"myproxy-init", "-r Jane -x -R /C=* -X -Z Bob", "--retrievable-by=*/CN=Jane --renewable-by=/C=* --retrievable-by-cert=*/CN=Bob"},
		{"myproxy-store", "-x -E *", "--retrieve-key=*"},
		{"myproxy-logon", "-bTnlalice -o-", "--bootstrap --trustroots --no-passphrase --username=alice --out=-"},
		{"myproxy-logon", "--pshost=a --psport 7 --user b --dn", "--server=a --port=7 --username=b --dn-as-username"},
		{"myproxy-logon", "--cred x --proxy=3 --stdin --no_p", "--credential-name=x --lifetime=3 --stdin-pass --no-passphrase"},
		{"", "-server a -p=7 -la --stdin_pass", "--server=a --port=7 --username=a --stdin-pass"},
		{"myproxy-logon", "-s=a", "--server==a"}, // as getopt(3) has it
	} {
		called, command := mpNamed(tc.program), "logon"
		if called != nil && called.command != "" {
			command = called.command
		}
		got, err := (&process{called: called}).mpArguments(command, strings.Fields(tc.args))
		if err != nil {
			t.Errorf("%s %s: %v", tc.program, tc.args, err)
		} else if s := strings.Join(got.options, " "); s != tc.want || len(got.words) > 0 {
			t.Errorf("%s %s: %s %q, expected %s", tc.program, tc.args, s, got.words, tc.want)
		}
	}
}

// TestCalledAs: the file's name counts, wherever it lies, and else the first word.
func TestCalledAs(t *testing.T) {
	for _, tc := range []struct{ argv, called, rest string }{
		{"x509-credential-helper get", "", "get"},
		{"/usr/bin/myproxy-logon -l a", "myproxy-logon", "-l a"},
		{"./myproxyclient logon", "myproxyclient", "logon"},
		{"x509-credential-helper myproxy-info -l a", "myproxy-info", "-l a"},
		{"x509-credential-helper myproxy info", "", "myproxy info"},
		{"myproxy-server -d", "", "-d"},
		{"x509-credential-helper", "", ""},
		{"", "", ""},
	} {
		called, rest := calledAs(strings.Fields(tc.argv))
		got := ""
		if called != nil {
			got = called.name
		}
		if got != tc.called || strings.Join(rest, " ") != tc.rest {
			t.Errorf("%q: %q %q", tc.argv, got, rest)
		}
	}
}

// FuzzArguments: no words break the parser, and what it makes of them is what
// urfave/cli can read.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{"-bTlalice", "--out=-", "-x\n-r\n*", "--\n-a", "-\xff", "--=", "---", "-o", "--user\nx"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		for _, c := range mpCommands() {
			for _, called := range []*mpName{nil, &mpNames[0]} {
				sorted, err := (&process{called: called}).mpArguments(c.name, args)
				if err != nil {
					continue
				}
				for _, o := range sorted.options {
					option, _, _ := strings.Cut(strings.TrimPrefix(o, "--"), "=")
					if !slices.ContainsFunc(c.options, func(x mpOption) bool { return x.name == option }) {
						t.Fatalf("%q became %q", args, o)
					}
				}
				if len(sorted.words) > len(args) {
					t.Fatalf("%q became the words %q", args, sorted.words)
				}
			}
		}
	})
}
