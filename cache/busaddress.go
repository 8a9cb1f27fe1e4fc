//go:build unix && !darwin

package cache

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	dbus "github.com/godbus/dbus/v5"
)

// busSocket is a local socket: a path, or a name in Linux's abstract space.
type busSocket struct {
	name     string
	abstract bool
}

// address is the D-Bus address of the socket alone.
func (s busSocket) address() string {
	if s.abstract {
		return "unix:abstract=" + dbus.EscapeBusAddressValue(s.name)
	}
	return "unix:path=" + dbus.EscapeBusAddressValue(s.name)
}

// String is the name that package net dials.
func (s busSocket) String() string {
	if s.abstract {
		return "@" + s.name
	}
	return s.name
}

// userDir is a user's runtime directory where systemd makes it.
func userDir(runUser string, uid int) string { return fmt.Sprintf("%s/%d", runUser, uid) }

// findBus returns the address of a live session bus that belongs to uid: the
// first such one in the variable's list, or else the socket that systemd or a
// container's start makes in a runtime directory.
func findBus(ctx context.Context, variable string, dirs []string, uid int) (string, error) {
	sockets, err := busSockets(variable, dirs)
	for _, s := range sockets {
		if err = checkPeer(ctx, s, uid); err == nil {
			return s.address(), nil
		}
	}
	return "", err
}

func busSockets(variable string, dirs []string) (sockets []busSocket, err error) {
	if variable != "" {
		return parseBusAddress(variable)
	}
	for _, dir := range dirs {
		s := busSocket{name: dir + "/bus"}
		fi, err := os.Stat(s.name)
		if err == nil && fi.Mode().Type() == os.ModeSocket && s.valid() == nil && !slices.Contains(sockets, s) {
			sockets = append(sockets, s)
		}
	}
	if len(sockets) == 0 {
		return nil, unavailable("there is no D-Bus session bus", nil)
	}
	return sockets, nil
}

// parseBusAddress takes the local sockets out of a list of D-Bus addresses and
// refuses a list that has none. A bus elsewhere would read our secrets, and
// unixexec: and autolaunch: start programs.
func parseBusAddress(list string) ([]busSocket, error) {
	var sockets []busSocket
	transport := "nothing"
	for _, address := range strings.Split(list, ";") {
		kind, keys, ok := strings.Cut(address, ":")
		if !ok || kind != "unix" {
			if address != "" {
				transport = strings.Map(printable, kind)
			}
			continue
		}
		s, err := parseUnixKeys(keys)
		if err != nil {
			return nil, refusedBus(err.Error())
		}
		sockets = append(sockets, s)
	}
	if len(sockets) == 0 {
		return nil, refusedBus(fmt.Sprintf("it names %q, not a local socket", transport))
	}
	return sockets, nil
}

func parseUnixKeys(keys string) (s busSocket, err error) {
	n := 0
	for _, pair := range strings.Split(keys, ",") {
		key, value, _ := strings.Cut(pair, "=")
		if key != "path" && key != "abstract" {
			continue // guid
		}
		n++
		s.abstract = key == "abstract"
		if s.name, err = url.PathUnescape(value); err != nil {
			return s, fmt.Errorf("its %s is not well escaped", key)
		}
	}
	if n != 1 {
		return s, errors.New("it must have one path or one abstract name")
	}
	return s, s.valid()
}

// valid says whether a socket can have that name.
func (s busSocket) valid() error {
	switch {
	case s.name == "" || len(s.name) > 107 || strings.ContainsRune(s.name, 0):
		return errors.New("no socket can have that name")
	case !s.abstract && s.name[0] != '/':
		return errors.New("its path is not absolute")
	}
	return nil
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

func refusedBus(why string) error {
	return &Error{Kind: ErrUnavailable, Text: "DBUS_SESSION_BUS_ADDRESS is refused: " + why,
		Remedy: "set it to the socket of your own session bus, unix:path=/run/user/UID/bus, or unset it"}
}

func foreignBus(s busSocket, owner, uid int) error {
	return &Error{Kind: ErrUnavailable, Text: fmt.Sprintf("the D-Bus session bus at %s belongs to uid %d, we are %d", s, owner, uid),
		Remedy: "unset DBUS_SESSION_BUS_ADDRESS, which su and sudo keep, or log in as yourself"}
}

func deadBus(s busSocket, err error) error {
	return unavailable(fmt.Sprintf("the D-Bus session bus at %s does not answer", s), err)
}
