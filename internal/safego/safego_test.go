package safego

import (
	"errors"
	"strings"
	"testing"
)

func TestGo(t *testing.T) {
	boom := errors.New("boom")
	if err := <-Go(func() error { return boom }); err != boom {
		t.Errorf("error: got %v", err)
	}
	if err := <-Go(func() error { return nil }); err != nil {
		t.Errorf("nil: got %v", err)
	}
}

// TestPanic: a nil dereference in a goroutine must not end the process, and a
// panic's value must not reach an error text.
func TestPanic(t *testing.T) {
	err := <-Go(func() error { var p *int; *p = 1; return nil })
	var pe *PanicError
	if !errors.As(err, &pe) || !strings.Contains(err.Error(), "nil pointer") {
		t.Fatalf("got %v", err)
	}
	if len(pe.Stack) == 0 {
		t.Error("no stack")
	}
	err = <-Go(func() error { panic("a secret") })
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
