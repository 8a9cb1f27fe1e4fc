//go:build unix && !linux && !darwin

package cache

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// checkPeer looks at the owner of the socket's file.
func checkPeer(_ context.Context, s busSocket, uid int) error {
	var st unix.Stat_t
	if s.abstract {
		return deadBus(s, errors.New("abstract sockets are Linux's"))
	}
	if err := unix.Stat(s.name, &st); err != nil {
		return deadBus(s, err)
	}
	if int(st.Uid) != uid {
		return foreignBus(s, int(st.Uid), uid)
	}
	return nil
}
