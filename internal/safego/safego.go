// Package safego starts goroutines. A panic in a goroutine passes main's
// recover by and would end the process without the one JSON object that a
// caller was promised; here it becomes an error.
package safego

import (
	"fmt"
	"runtime/debug"
)

// PanicError is a panic that was caught.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the panic's value only by its type unless it is an error: a
// value can hold anything, a secret too.
func (e *PanicError) Error() string {
	if err, ok := e.Value.(error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic: %T", e.Value)
}

// Go runs f in a goroutine of its own. The channel holds f's error, or a
// *PanicError, and is closed after it; nobody needs to read it.
func Go(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		defer close(done)
		done <- Call(f)
	}()
	return done
}

// Call runs f and turns a panic into a *PanicError.
func Call(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}
