package cache

import "time"

// Instant is a point in time that no change of the clock moves: the time since
// the system was started, and which start that was. A suspended machine's time
// counts.
type Instant struct {
	Boot  string        `json:"boot"`
	Since time.Duration `json:"since"` // nanoseconds
}

// Now returns the present instant. Where the system does not tell, Boot is
// empty, and no instant is after another.
func (c *Cache) Now() Instant {
	now, err := c.o.Boot()
	if err != nil {
		return Instant{}
	}
	return now
}

// after says whether i is later than j. Instants of different starts are not
// comparable.
func (i Instant) after(j Instant) bool {
	return i.comparable(j) && i.Since > j.Since
}

func (i Instant) comparable(j Instant) bool { return i.Boot != "" && i.Boot == j.Boot }
