package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	stressed = "test:always" // is there from the beginning, and replaced
	flickers = "test:flickers"
	filler   = "................................................"
)

// childStress calls the keyring many times with one connection, in the role
// that STRESS names, and prints how often each outcome was.
func childStress() error {
	k := NewKeyring(KeyringOptions{UID: os.Getuid(), Deadline: time.Minute})
	ctx := context.Background()
	outcomes := map[string]int{}
	n := 40
	if role := os.Getenv("STRESS"); role == "replace" || role == "flicker" {
		n = 15 // the daemon writes its whole file each time
	}
	if os.Getenv("STRESS_SHORT") != "" {
		n /= 3
	}
	for i := range n {
		value := fmt.Appendf(nil, "%d %d %s", os.Getpid(), i, filler)
		var err error
		switch os.Getenv("STRESS") {
		case "replace":
			err = k.Set(ctx, stressed, value)
		case "read":
			err = readWhole(ctx, k, stressed)
		case "flicker":
			if err = k.Set(ctx, flickers, value); err == nil || errors.Is(err, errNotKept) {
				err = k.Delete(ctx, flickers)
			}
		case "watch":
			if err = readWhole(ctx, k, flickers); errors.Is(err, ErrNotFound) {
				err = nil
			}
		}
		text := "ok"
		switch {
		case errors.Is(err, errNotKept): // another process was quicker
			text = "overtaken"
		case err != nil:
			text = err.Error()
		}
		outcomes[text]++
	}
	return json.NewEncoder(os.Stdout).Encode(outcomes)
}

func readWhole(ctx context.Context, k KeyStore, account string) error {
	value, err := k.Get(ctx, account)
	if err == nil && !strings.HasSuffix(string(value), " "+filler) {
		err = fmt.Errorf("half a value: %q", value)
	}
	return err
}

// TestRealStress: processes replace, delete and read the same items of the real
// keyring all the time. What is only replaced is never absent, what is deleted
// is absent or whole, and nobody is told that the keyring does not work.
func TestRealStress(t *testing.T) {
	b := startKeyring(t)
	first := child(t, "stress", "STRESS=replace", "DBUS_SESSION_BUS_ADDRESS="+b.address)
	if out, err := first.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	stress(t, b)
}

// stress starts the processes and reports what must not have happened.
func stress(t *testing.T, b *bus) {
	t.Helper()
	perRole, short := 5, "STRESS_SHORT="
	if testing.Short() {
		perRole, short = 2, "STRESS_SHORT=1"
	}
	var wg sync.WaitGroup
	for _, role := range []string{"replace", "read", "flicker", "watch"} {
		writes := role == "replace" || role == "flicker"
		for range perRole {
			wg.Go(func() {
				out, err := child(t, "stress", "STRESS="+role, short, "DBUS_SESSION_BUS_ADDRESS="+b.address).Output()
				var outcomes map[string]int
				if err == nil {
					err = json.Unmarshal(out, &outcomes)
				}
				if err != nil {
					t.Errorf("%s: %v: %s", role, err, out)
				}
				for text, n := range outcomes {
					if text != "ok" && !(writes && text == "overtaken") {
						t.Errorf("%s, %d times: %s", role, n, text)
					}
				}
			})
		}
	}
	wg.Wait()
}
