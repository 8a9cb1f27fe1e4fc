package helper

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

// TestHold: what is held ends neither with its context nor with a cancelled verb,
// and once the answer is due nothing new begins.
func TestHold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	with, h := withHolds(ctx)
	held, release, err := hold(with)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if held.Err() != nil {
		t.Error("it was cut off")
	}
	if _, ok := held.Deadline(); !ok {
		t.Error("it has no deadline of its own")
	}
	free := h.close()
	select {
	case <-free:
		t.Error("nobody waits for it")
	default:
	}
	if _, _, err := hold(withoutCancel(with)); !errors.Is(err, context.Canceled) {
		t.Errorf("a new one begins: %v", err)
	}
	if _, _, err := hold(with); !errors.Is(err, context.Canceled) {
		t.Errorf("a new one begins in a cancelled context: %v", err)
	}
	release()
	release()
	<-free
	if held.Err() == nil {
		t.Error("its context outlives it")
	}
}

func withoutCancel(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// TestHoldEndsTheVerbLater: a verb that is cancelled in the middle of what is held
// answers after it, not a second later.
func TestHoldEndsTheVerbLater(t *testing.T) {
	h := &Helper{}
	ctx, cancel := context.WithCancel(t.Context())
	kept, after := false, cancelGrace+cancelGrace/2
	var out bytes.Buffer
	status := h.write(ctx, &out, func(ctx context.Context) (any, error) {
		_, release, err := hold(ctx)
		if err != nil {
			return nil, err
		}
		cancel()
		time.Sleep(after) // longer than an answer is waited for
		kept = true
		release()
		return nil, ctx.Err()
	})
	if !kept || status != CodeCancelled.ExitStatus() || !bytes.Contains(out.Bytes(), []byte(`"cancelled"`)) {
		t.Errorf("kept %v, status %d: %s", kept, status, &out)
	}
}
