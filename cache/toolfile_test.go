package cache

import (
	"testing"
	"time"
)

// TestToolFilesEnd: the file of a proxy that has expired is still there to say
// so; the newest of a profile counts, and those of others do not.
func TestToolFilesEnd(t *testing.T) {
	w := newWorld(t, Runtime, None)
	if end := w.ToolFilesEnd("atlas"); !end.IsZero() {
		t.Errorf("without a file: %v", end)
	}
	for name, life := range map[string]time.Duration{
		"atlas-00000000.pem": time.Hour, "atlas-11111111.pem": 2 * time.Hour, "atlas-x-00000000.pem": 3 * time.Hour,
	} {
		if _, err := w.WriteToolFile(name, credential(t, noon.Add(life))); err != nil {
			t.Fatal(err)
		}
	}
	w.now = noon.Add(9 * time.Hour)
	if end := w.ToolFilesEnd("atlas"); !end.Equal(noon.Add(2 * time.Hour)) {
		t.Errorf("the end is %v", end)
	}
}
