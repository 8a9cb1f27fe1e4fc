package myproxy

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// DefaultPort is MyProxy's.
const DefaultPort = "7512"

// ParseServers reads a list of servers as people write it, each "host",
// "host:port", "[v6]", "[v6]:port" or several of them with commas between, and
// returns them as "host:port" in the same order without repetitions. Names are
// lower-cased: the pass phrase in the keyring is bound to the list.
func ParseServers(list []string, port string) ([]string, error) {
	if !isPort(port) {
		return nil, fmt.Errorf("%q is no port", port)
	}
	var hosts []string
	for _, entry := range list {
		for s := range strings.SplitSeq(entry, ",") {
			if s = strings.TrimSpace(s); s == "" {
				continue
			}
			host, err := parseServer(s, port)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
	}
	return hosts, nil
}

func parseServer(s, port string) (string, error) {
	host := s
	var err error
	if addr, ok := bareIPv6(s); ok {
		host = addr
	} else if strings.Contains(s, ":") {
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", fmt.Errorf("%q is neither a host nor host:port", s)
		}
	}
	if !isHost(host) {
		return "", fmt.Errorf("%q is neither a host name nor an address", host)
	}
	if !isPort(port) {
		return "", fmt.Errorf("%q in %q is no port", port, s)
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}

// bareIPv6 recognises an address without a port, "::1" and "[::1]" alike.
func bareIPv6(s string) (string, bool) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if s, ok = strings.CutSuffix(inner, "]"); !ok {
			return "", false
		}
	}
	addr, err := netip.ParseAddr(s)
	return addr.String(), err == nil && addr.Is6()
}

// isHost keeps everything out that is not the name of a host: blanks, user
// info, paths, zones, empty labels.
func isHost(s string) bool {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Zone() == ""
	}
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !isWord(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// showServers names servers for people: without the port where it is the
// usual one.
func showServers(hosts []string) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = strings.TrimSuffix(h, ":"+DefaultPort)
	}
	return strings.Join(names, ", ")
}

// percentEncode makes a field of a keyring account: everything but the
// unreserved characters of RFC 3986 section 2.3 is encoded.
func percentEncode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if isWord(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
