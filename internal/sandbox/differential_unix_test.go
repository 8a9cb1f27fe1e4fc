//go:build unix

package sandbox

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// The real server, where it is installed, and the sandbox get the same bytes:
// they must say the same. This holds the sandbox to what no recording has.
func TestSameAsRealServer(t *testing.T) {
	w := newTwins(t, twinOptions{})
	for _, name := range []string{"", "CRED_NAME=second\n"} {
		w.both("store alice's credentials", "alice", store(ask(commandStore, "alice", goodPass, 43200, name), w.file("alice", goodPass)))
	}
	s, debian := w.box, w.real.Direct

	valid := func(lines ...string) string {
		all := append([]string{"VERSION=MYPROXYv2", "COMMAND=0", "USERNAME=nobody", "PASSPHRASE=" + goodPass, "LIFETIME=43200"}, lines...)
		return strings.Join(all, "\n") + "\n\x00"
	}
	replaced := func(old, new string) string { return strings.Replace(valid(), old, new, 1) }
	cases := map[string]string{
		"parsed":                      valid(),
		"hexadecimal lifetime":        replaced("43200", "0x10"),
		"octal lifetime":              replaced("43200", "010"),
		"no octal lifetime":           replaced("43200", "08"),
		"lifetime with blanks":        replaced("43200", "  7"),
		"lifetime with blank behind":  replaced("43200", "7 "),
		"lifetime with sign":          replaced("43200", "+7"),
		"negative lifetime":           replaced("43200", "-7"),
		"lifetime too big for an int": replaced("43200", "99999999999"),
		"lifetime too big for a long": replaced("43200", "99999999999999999999"),
		"half a hexadecimal lifetime": replaced("43200", "0x"),
		"empty lifetime":              replaced("43200", ""),
		"hexadecimal command":         replaced("COMMAND=0", "COMMAND=0x0"),
		"command with overflow":       replaced("COMMAND=0", "COMMAND=4294967296"),
		"negative command":            replaced("COMMAND=0", "COMMAND=-1"),
		"empty command":               replaced("COMMAND=0", "COMMAND="),
		"carriage returns":            strings.ReplaceAll(valid(), "\n", "\r\n"),
		"no line feeds at the end":    strings.TrimRight(valid(), "\n\x00"),
		"text after the NUL":          valid() + "USERNAME=alice\n",
		"NUL within":                  replaced("LIFETIME", "\x00LIFETIME"),
		"version within a value":      replaced("nobody", "xVERSION=MYPROXYv2"),
		"username within a value":     replaced(goodPass, "xUSERNAME=alice"),
		"new pass phrase twice":       valid("NEW_PHRASE=abcdef", "NEW_PHRASE=abcdef"),
		"description twice":           valid("CRED_DESC=a", "CRED_DESC=b"),
		"key retrievers twice":        valid("KEYRETRIEVERS=a", "KEYRETRIEVERS=b"),
		"trusted retriever twice":     valid("RETRIEVER_TRUSTED=a", "RETRIEVER_TRUSTED=b"),
		"both kinds of retriever":     valid("RETRIEVER=a", "KEYRETRIEVERS=b"),
		"a name twice in one line":    replaced("nobody", "PASSPHRASE="+goodPass+" PASSPHRASE=x\nX=y"),
		"its own name in a value":     replaced(goodPass, "PASSPHRASE=x"),
		"own name, two lines":         strings.Replace(replaced(goodPass, "PASSPHRASE=x"), "USERNAME=nobody", "USERNAME=aUSERNAME=b", 1),
		"trusted certs not a number":  valid("TRUSTED_CERTS=yes"),
		"trusted certs twice":         valid("TRUSTED_CERTS=1", "TRUSTED_CERTS=1"),
		"retriever twice":             valid("RETRIEVER=*", "RETRIEVER=*"),
		"VO twice":                    valid("VONAME=a", "VONAME=b"),
		"credential name":             valid("CRED_NAME=x"),
		"empty credential name":       valid("CRED_NAME="),
		"wrong version, no user":      strings.Replace(replaced("nobody", ""), "v2", "v9", 1),
		"unknown command, no user":    strings.Replace(replaced("nobody", ""), "COMMAND=0", "COMMAND=8", 1),
		"user with quotes":            replaced("nobody", `a"b\c`),
		"only letters":                "hello",
		"four letters of pass phrase": strings.Replace(replaced("nobody", "alice"), goodPass, "abcd", 1),
		"five letters of pass phrase": strings.Replace(replaced("nobody", "alice"), goodPass, "abcde", 1),
		"empty pass phrase":           strings.Replace(replaced("nobody", "alice"), goodPass, "", 1),
		"pass phrase with blank":      strings.Replace(replaced("nobody", "alice"), goodPass, goodPass+" ", 1),
		"good pass phrase":            replaced("nobody", "alice"),
		"alias of a credential":       replaced("nobody", "alice-second"),
		"user in capitals":            replaced("nobody", "Alice"),
	}
	for name, request := range cases {
		for versionName, version := range versions {
			t.Run(name+"/"+versionName, func(t *testing.T) {
				t.Parallel()
				want := firstAnswer(t, debian, version, "0", request)
				if got := firstAnswer(t, s.Addr(), version, "0", request); got != want {
					t.Errorf("sandbox: %q\nreal:    %q", got, want)
				}
			})
		}
	}
	for name, messages := range map[string][]string{
		"no flag":              {valid()},
		"another flag":         {"1", valid()},
		"a zero too many":      {"00", valid()},
		"delegation":           {"D", valid()},
		"a flag byte of 00":    {"\x00", valid()},
		"request in two parts": {"0", "VERSION=MYPROXYv2\nCOMM", "AND=0\n"},
	} {
		for versionName, version := range versions {
			t.Run(name+"/"+versionName, func(t *testing.T) {
				t.Parallel()
				want := firstAnswer(t, debian, version, messages...)
				if got := firstAnswer(t, s.Addr(), version, messages...); got != want {
					t.Errorf("sandbox: %q\nreal:    %q", got, want)
				}
			})
		}
	}
}

// firstAnswer sends messages, each a record and 50 ms apart, and returns the
// server's first record after the lone NUL, or how else it went.
func firstAnswer(t *testing.T, addr string, version uint16, messages ...string) string {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	if version == tls.VersionTLS13 {
		if n, err := conn.Read(buf); n != 1 || buf[0] != 0 {
			t.Fatalf("no lone NUL: %q, %v", buf[:n], err)
		}
	}
	for i, m := range messages {
		if i > 0 {
			time.Sleep(50 * time.Millisecond)
		}
		if _, err := conn.Write([]byte(m)); err != nil {
			break
		}
	}
	n, err := conn.Read(buf)
	var header tls.RecordHeaderError
	switch {
	case n > 0:
		return string(buf[:n])
	case errors.As(err, &header):
		return fmt.Sprintf("clear text beginning with %q", header.RecordHeader[:])
	}
	return err.Error()[max(0, strings.LastIndex(err.Error(), ":")):]
}
