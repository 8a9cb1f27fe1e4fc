package cache

import (
	"path/filepath"
	"testing"
	"time"
)

// TestEraseElsewhere: a job of cron keeps its plain files where no session
// looks for them. Whoever forgets a profile, or everything, means them, too.
func TestEraseElsewhere(t *testing.T) {
	for _, all := range []bool{false, true} {
		w := newWorld(t, Runtime, None)
		other := filepath.Join(t.TempDir(), "cron")
		o := w.options(Runtime, None)
		o.RuntimeDir = func() (string, error) { return other, nil }
		cron := New(o)
		for _, profile := range []string{"atlas", "cms"} {
			_, err := cron.Put(t.Context(), entry(t, binding(profile), time.Hour))
			must(t, err)
			_, err = cron.WriteToolFile(profile+"-00000000.pem", credential(t, noon.Add(time.Hour)))
			must(t, err)
		}
		o = w.options(Runtime, None)
		o.OtherRuntimeDirs = func() []string { return []string{other} }
		session, erased, left := New(o), 1, 2
		n, err := 0, error(nil)
		if all {
			erased, left = 2, 0
			n, err = session.EraseAll(t.Context())
		} else {
			n, err = session.ForgetElsewhere(t.Context(), "atlas")
		}
		if err != nil || n != erased {
			t.Errorf("all %v: %d, %v", all, n, err)
		}
		for _, dir := range []string{"entry", "proxy"} {
			if files := filesBelow(t, filepath.Join(other, dir)); len(files) != left/2 {
				t.Errorf("all %v: %v", all, files)
			}
		}
	}
}
