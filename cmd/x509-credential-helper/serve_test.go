package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// TestOneObject: whatever a caller does, standard output is exactly one JSON
// object, with the right code and the exit status of its class. A helper that
// prints usage text or a stack trace there breaks every caller's parser at the
// worst moment.
func TestOneObject(t *testing.T) {
	w := newWorld(t, inMemory)
	// What each verb answers where its request is as good as {}.
	empty := map[string]string{
		"get": "interaction_required", "store": "invalid_request", "erase": "", "list": "", "capabilities": "",
	}
	if len(empty) != len(helper.Verbs()) {
		t.Fatalf("the verbs are %q", helper.Verbs())
	}
	const wrong = "invalid_request"
	inputs := []struct {
		name, stdin string
		args        []string
		env         string
		want        string // "": as {}
	}{
		{name: "no input", stdin: ""},
		{name: "an empty object", stdin: "{}"},
		{name: "more after the object", stdin: "{} {} garbage"},
		{name: "blanks", stdin: " \n\t"},
		{name: "1 MiB and 1", stdin: `{"client":{"name":"` + strings.Repeat("a", 1<<20), want: wrong},
		{name: "1 MiB and 1 of blanks", stdin: strings.Repeat(" ", 1<<20+1), want: wrong},
		{name: "garbage", stdin: "\x00\xff\x1b[2Jgarbage", want: wrong},
		{name: "a cut object", stdin: `{"profile":"la`, want: wrong},
		{name: "an array", stdin: "[]", want: wrong},
		{name: "a number", stdin: "1", want: wrong},
		{name: "null", stdin: "null", want: wrong},
		{name: "duplicate keys", stdin: `{"profile":"lab","profile":"lab"}`, want: wrong},
		{name: "duplicate keys, one escaped", stdin: `{"profile":"lab","\u0070rofile":"lab"}`, want: wrong},
		{name: "invalid UTF-8", stdin: "{\"profile\":\"\xff\"}", want: wrong},
		{name: "deep nesting", stdin: strings.Repeat(`{"client":`, 20000), want: wrong},
		{name: "an unknown field", stdin: `{"limitd":true,"secret":{"kind":"passphrase","value":"x"}}`, want: "unsupported_feature"},
		{name: "another version", stdin: `{"version":2}`, want: "unsupported_version"},
	}
	for _, verb := range helper.Verbs() {
		for _, tc := range inputs {
			want := tc.want
			if want == "" || verb == "capabilities" { // which never reads
				want = empty[verb]
			}
			r := w.run(tc.stdin, verb)
			check(t, w, verb+", "+tc.name, r, want)
		}
		for _, args := range [][]string{{"extra"}, {"--bogus"}, {"--help"}, {"-h"}, {"--"}, {""}, {"lab", "--json"}} {
			r := w.run("{}", append([]string{verb}, args...)...)
			check(t, w, verb+" "+strings.Join(args, " "), r, wrong)
		}
	}
	if n := w.server.Connections(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func check(t *testing.T, w *world, what string, r result, want string) {
	t.Helper()
	if got := w.code(r); got != want {
		t.Errorf("%s: code %q, expected %q: %s", what, got, want, r.stdout)
	}
	status := 0
	if want != "" {
		status = helper.Code(want).ExitStatus()
	}
	if r.status != status {
		t.Errorf("%s: exit status %d, expected %d", what, r.status, status)
	}
}

// TestStandardInput: no file, a closed one and a terminal are no reason to
// hang, to fall over or to answer anything but one object.
func TestStandardInput(t *testing.T) {
	w := newWorld(t, inMemory)
	closed := func(verb string) result {
		cmd := exec.Command("/bin/sh", "-c", `exec "$0" "$1" <&-`, w.program, verb)
		cmd.Env = w.env
		return w.finish(cmd)
	}
	for verb, want := range map[string]string{
		"get": "interaction_required", "store": "invalid_request", "erase": "", "list": "", "capabilities": "",
	} {
		check(t, w, verb+", /dev/null", w.finish(w.command(verb)), want)
		check(t, w, verb+", closed", closed(verb), want)
	}
}

// TestUnknownVerb: programs get the answer of the protocol, people a
// suggestion on standard error.
func TestUnknownVerb(t *testing.T) {
	w := newWorld(t, inMemory)
	for _, tc := range []struct {
		args []string
		hint string
	}{
		{[]string{"gett"}, `did you mean "get"?`},
		{[]string{"staus"}, `did you mean "status"?`},
		{[]string{"capab"}, `did you mean "capabilities"?`},
		{[]string{"GET"}, "help"},
		{[]string{"zzz"}, "help"},
		{[]string{"--bogus"}, "help"},
		{[]string{""}, "help"},
		{[]string{strings.Repeat("x", 10000) + "\x1b[2J"}, "help"},
		{nil, "help"},
	} {
		r := w.run("{}", tc.args...)
		check(t, w, strings.Join(tc.args, " "), r, "unsupported_verb")
		if !strings.Contains(r.stderr, tc.hint) {
			t.Errorf("%q: no hint %q on standard error: %.200s", tc.args, tc.hint, r.stderr)
		}
		if strings.Contains(r.stderr, "\x1b") || len(r.stderr) > 1000 {
			t.Errorf("%q: standard error repeats what was typed: %.200q", tc.args, r.stderr)
		}
	}
}

// TestPanic: a defect of ours is still one object for programs and one
// sentence for people.
func TestPanic(t *testing.T) {
	w := newWorld(t, inMemory)
	w.env = append(w.env, panicVar+"=1")
	for _, verb := range helper.Verbs() {
		check(t, w, verb, w.run("{}", verb), "internal")
	}
	r := w.run("", "status")
	if r.status != 1 || r.stdout != "" || strings.Count(r.stderr, "\n") != 2 || !strings.Contains(r.stderr, "defect") {
		t.Errorf("status: %+v", r)
	}
	if r := w.run("", "exec", "--", "true"); r.status != 125 {
		t.Errorf("exec: status %d", r.status)
	}
}
