package main

import (
	"net"
	"strconv"
	"testing"
)

// TestDialer: connections come from the ports that were named, the next one
// where one is taken.
func TestDialer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	first := taken.Addr().(*net.TCPAddr).Port
	last := min(first+50, 65535)
	env := map[string]string{"GLOBUS_TCP_PORT_RANGE": strconv.Itoa(first) + "," + strconv.Itoa(last)}
	dial, err := dialer(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c, err := dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if port := c.LocalAddr().(*net.TCPAddr).Port; port <= first || port > last {
			t.Errorf("the connection is from port %d, expected one of %d to %d", port, first+1, last)
		}
	}
	for _, bad := range []string{"x", "5", "7,3", "0,5", "1,70000"} {
		env["MYPROXY_TCP_PORT_RANGE"] = bad
		if _, err := dialer(func(name string) string { return env[name] }); err == nil {
			t.Errorf("%q is taken for a range", bad)
		}
	}
}
