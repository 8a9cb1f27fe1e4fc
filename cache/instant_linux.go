package cache

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// BootInstant reads CLOCK_BOOTTIME and the kernel's boot id.
func BootInstant() (Instant, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Instant{}, err
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return Instant{}, err
	}
	return Instant{Boot: strings.TrimSpace(string(id)), Since: time.Duration(ts.Nano())}, nil
}
