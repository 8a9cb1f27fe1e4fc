package cache

import "golang.org/x/sys/windows"

// BootInstant is a stand-in: Windows tells the time since the start but has no
// name for the start, so an instant from before a restart can look earlier or
// later than it was.
func BootInstant() (Instant, error) {
	return Instant{Boot: "windows", Since: windows.DurationSinceBoot()}, nil
}
