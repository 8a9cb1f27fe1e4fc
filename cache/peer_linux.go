package cache

import (
	"context"
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// checkPeer connects to a bus and asks the kernel who listens there. The owner
// of a socket's file would not do: an abstract name has no file, and anybody
// can take it.
func checkPeer(ctx context.Context, s busSocket, uid int) error {
	var conn net.Conn
	err := patiently(ctx, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", s.String())
		return err
	})
	if err != nil {
		return deadBus(s, err)
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return deadBus(s, err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return deadBus(s, err)
	}
	if int(cred.Uid) != uid {
		return foreignBus(s, int(cred.Uid), uid)
	}
	return nil
}
