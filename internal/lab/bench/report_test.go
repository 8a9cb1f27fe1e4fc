package main

import (
	"errors"
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
	want := "0.40 met, 0.57 **missed**, 0.50 , 0.20 met, 1.25 **missed**, 0.30 met, 0.80 met, 0.40 **missed**, 2.0 ms met, 2.00 , 9.00 MB **missed**"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	r.size = 0
	if text := r.verdicts(); text != "" {
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
