package main

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// dialer keeps to the local ports that a firewall lets out, as the C programs do:
// MYPROXY_TCP_PORT_RANGE, else GLOBUS_TCP_PORT_RANGE, "min,max". It is nil where
// neither is set.
func dialer(getenv func(string) string) (func(ctx context.Context, network, addr string) (net.Conn, error), error) {
	text := cmp.Or(getenv("MYPROXY_TCP_PORT_RANGE"), getenv("GLOBUS_TCP_PORT_RANGE"))
	if text == "" {
		return nil, nil
	}
	low, high, ok := strings.Cut(strings.ReplaceAll(text, " ", ","), ",")
	first, err1 := strconv.ParseUint(low, 10, 16)
	last, err2 := strconv.ParseUint(strings.Trim(high, ","), 10, 16)
	if !ok || err1 != nil || err2 != nil || first == 0 || first > last {
		return nil, helper.Errorf(helper.CodeInvalidRequest, "MYPROXY_TCP_PORT_RANGE is %q, which is no range of ports", clean(text)).
			WithHint("write for instance 20000,25000")
	}
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		for port := first; port <= last; port++ {
			d := net.Dialer{LocalAddr: &net.TCPAddr{Port: int(port)}}
			if conn, err = d.DialContext(ctx, network, addr); err == nil || !portInUse(err) {
				return conn, err
			}
		}
		return nil, err
	}, nil
}
