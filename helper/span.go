package helper

import (
	"fmt"
	"time"
)

// span is a duration as people say it: its two largest units, rounded.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return two(d, time.Minute, "min", time.Second, "s")
	case d < 48*time.Hour:
		return two(d, time.Hour, "h", time.Minute, "min")
	}
	return two(d, 24*time.Hour, "days", time.Hour, "h")
}

func two(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	d = d.Round(small)
	if rest := d % big; rest > 0 {
		return fmt.Sprintf("%d %s %d %s", d/big, bigName, rest/small, smallName)
	}
	return fmt.Sprintf("%d %s", d/big, bigName)
}
