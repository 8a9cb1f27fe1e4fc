package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func msec(list ...int) []time.Duration {
	var out []time.Duration
	for _, n := range list {
		out = append(out, time.Duration(n)*time.Millisecond)
	}
	return out
}

// TestVerdicts: medians decide, not means, and a missed target is shown as
// missed.
func TestVerdicts(t *testing.T) {
	r := &report{rounds: 3, size: sizeLimit + 1, results: map[string][]time.Duration{
		warmGet: msec(4, 4, 900), kernelGet: msec(2, 2, 2), crowdedGet: msec(5, 5, 5), dockerGet: msec(10, 10, 10), secretLookup: msec(7, 7, 7), vomsInfo: msec(8, 8, 8),
		coldGet: msec(30, 30, 30), myproxyLogon: msec(100, 100, 100), capabilities: msec(2, 2, 2), emptyGo: msec(1, 1, 1),
		ourLogon: msec(25, 25, 25), ourP256: msec(20, 20, 20), ourInfo: msec(3, 3, 3), myproxyInfo: msec(10, 10, 10),
		ourPut: msec(5, 5, 5), myproxyInit: msec(10, 10, 10), ourRoots: msec(4, 4, 4), myproxyTrst: msec(10, 10, 10),
		showFile: msec(4, 4, 4), gridInfo: msec(5, 5, 5), vomsInfoAll: msec(10, 10, 10),
	}}
	var got []string
	for line := range strings.Lines(r.verdicts()) {
		if !strings.Contains(line, "≤") && !strings.Contains(line, " / ") {
			continue
		}
		cells := strings.Split(line, "|")
		got = append(got, strings.TrimSpace(cells[2])+" "+strings.TrimSpace(cells[4]))
	}
	want := "0.40 met, 0.57 **missed**, 0.50 , 0.20 met, 1.25 **missed**, 0.30 met, 0.25 met, 0.20 **missed**, 0.30 met, 0.50 , 0.40 , 0.80 met, 0.40 **missed**, 2.0 ms met, 2.00 , 9.00 MB **missed**"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	got = nil
	for line := range strings.Lines(r.parts()) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.Contains(line, ".") {
			got = append(got, strings.TrimSpace(cells[2]))
		}
	}
	if parts := strings.Join(got, " "); parts != "1.0 2.0 17.0 5.0" {
		t.Errorf("the parts are %s", parts)
	}
	r.size = 0
	if text := r.verdicts(); text != "" {
		t.Errorf("without our program: %q", text)
	}
}

// TestOverhead: each run is held to the one of the tool alone just before it, so
// that a machine that was busy for a while was so for both.
func TestOverhead(t *testing.T) {
	r := &report{results: map[string][]time.Duration{
		execKeyring: msec(9, 108, 8), alone(execKeyring): msec(1, 101, 1),
		execKernel: msec(14, 14, 13), alone(execKernel): msec(1, 2, 1),
	}}
	text := r.overhead()
	for _, want := range []string{
		"| `exec -- true` | 7.0 | 8.0 | ≤ 10.0 ms | met |\n",
		"| `exec -- true, key in the kernel's keyring` | 12.0 | 13.0 | ≤ 10.0 ms | **missed** |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	if text := (&report{}).overhead(); text != "" {
		t.Errorf("without our program: %q", text)
	}
}

// TestWantSource: a cold get that was answered from the cache must not count.
func TestWantSource(t *testing.T) {
	answer := []byte(`{"version":1,"source":"cache","credential":{"pem":"x"}}`)
	if err := wantSource("cache")(answer); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{`{"source":"backend","credential":{"pem":"x"}}`, `{"source":"cache"}`, `{"error":{}}`, ``} {
		if err := wantSource("cache")([]byte(bad)); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
}

// TestSession: a failing lab still cleans up, last first, and is an error.
func TestSession(t *testing.T) {
	s := &session{}
	var order string
	err := s.run(func() error {
		s.Cleanup(func() { order += "1" })
		s.Cleanup(func() { order += "2" })
		s.Fatalf("no %s", "server")
		return nil
	})
	if err == nil || err.Error() != "no server" || order != "21" {
		t.Errorf("got %v, order %q", err, order)
	}
	s = &session{}
	if err := s.run(func() error { return errors.New("plain") }); err == nil || err.Error() != "plain" {
		t.Errorf("got %v", err)
	}
	s = &session{}
	if err := s.run(func() error { s.Cleanup(func() { s.Errorf("leak") }); return nil }); err == nil {
		t.Error("a leak is no error")
	}
}

// TestInterrupted: Ctrl-C ends the measurement by an error, so that what it has
// made is cleaned up.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{t: &session{ctx: ctx}, dir: t.TempDir(), programs: []program{{name: "true", argv: []string{"true"}}}}
	if _, err := w.measure(1, io.Discard); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.measure(1, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("after Ctrl-C: %v", err)
	}
}
