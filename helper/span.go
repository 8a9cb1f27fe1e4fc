package helper

import (
	"fmt"
	"time"
)

// Span is a number of seconds as people say it: its two largest units, rounded.
func Span(seconds int64) string {
	const minute, hour, day, year = 60, 3600, 86400, 365 * 86400
	switch {
	case seconds < minute:
		return fmt.Sprintf("%d s", max(seconds, 0))
	case seconds < hour:
		return units(seconds, minute, "min", 1, "s")
	case seconds < 2*day:
		return units(seconds, hour, "h", minute, "min")
	case seconds < 2*year:
		return units(seconds, day, "d", hour, "h")
	}
	return units(seconds, year, "y", day, "d")
}

func units(seconds, big int64, bigName string, small int64, smallName string) string {
	seconds = (seconds + small/2) / small * small
	if rest := seconds % big / small; rest > 0 {
		return fmt.Sprintf("%d %s %d %s", seconds/big, bigName, rest, smallName)
	}
	return fmt.Sprintf("%d %s", seconds/big, bigName)
}

// span is Span of a duration.
func span(d time.Duration) string { return Span(int64(d.Round(time.Second) / time.Second)) }
