package cache

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseBusAddress(t *testing.T) {
	tests := []struct{ in, want string }{
		{"unix:path=/run/user/1000/bus", "unix:path=/run/user/1000/bus"},
		{"unix:path=/tmp/dbus-x,guid=0123", "unix:path=/tmp/dbus-x"},
		{"unix:guid=0123,path=/tmp/dbus-x", "unix:path=/tmp/dbus-x"},
		{"unix:abstract=/tmp/dbus-x", "unix:abstract=/tmp/dbus-x"},
		{"unix:path=/a%20b", "unix:path=/a%20b"},
		{"tcp:host=x;unix:path=/a;unix:path=/b", "unix:path=/a unix:path=/b"},
		{"unix:path=/a;", "unix:path=/a"},
		{"unix:path=relative", ""},
		{"unix:path=", ""},
		{"unix:runtime=yes", ""},
		{"unix:tmpdir=/tmp", ""},
		{"unix:path=/a,abstract=b", ""},
		{"unix:path=/a,path=/b", ""},
		{"unix:path=/a%zz", ""},
		{"unix:path=/a%00b", ""},
		{"unix:path=/" + strings.Repeat("x", 107), ""},
		{"/run/user/1000/bus", ""},
		{";;", ""},
		{"tcp:host=\x1b[31m", ""},
	}
	for _, tt := range tests {
		sockets, err := parseBusAddress(tt.in)
		var got []string
		for _, s := range sockets {
			got = append(got, s.address())
		}
		if strings.Join(got, " ") != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: got %q, %v", tt.in, got, err)
		}
		if err != nil && (!errors.Is(err, ErrUnavailable) || strings.ContainsRune(err.Error(), '\x1b')) {
			t.Errorf("%q: %q", tt.in, err)
		}
	}
}

func FuzzParseBusAddress(f *testing.F) {
	f.Add("unix:path=/run/user/1000/bus,guid=00;tcp:host=localhost,port=1")
	f.Add("unix:abstract=%2ftmp%2fx")
	f.Fuzz(func(t *testing.T, list string) {
		sockets, err := parseBusAddress(list)
		if (err == nil) != (len(sockets) > 0) {
			t.Fatalf("%d sockets, %v", len(sockets), err)
		}
		for _, s := range sockets {
			again, err := parseBusAddress(s.address())
			if err != nil || !slices.Equal(again, []busSocket{s}) {
				t.Errorf("%+v is written %q and read %+v, %v", s, s.address(), again, err)
			}
		}
	})
}
