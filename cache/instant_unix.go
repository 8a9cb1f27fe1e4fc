//go:build unix && !linux

package cache

import (
	"time"

	"golang.org/x/sys/unix"
)

// BootInstant is a stand-in: the monotonic clock, which on some systems stands
// still while the machine sleeps, and a name that does not change when the
// machine is started again.
func BootInstant() (Instant, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return Instant{}, err
	}
	return Instant{Boot: "monotonic", Since: time.Duration(ts.Nano())}, nil
}
