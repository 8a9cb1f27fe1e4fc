package consumer

import "fmt"

// The exit statuses of env(1), nohup(1) and timeout(1) where the command was not
// started (POSIX env, EXIT STATUS).
const (
	StatusFailed        = 125 // we failed: there is no proxy
	StatusNotExecutable = 126
	StatusNotFound      = 127
)

// StartError says why a tool was not started.
type StartError struct {
	Name   string
	Status int // the exit status that says it
	Err    error
}

// Error names the command and what is wrong with it.
func (e *StartError) Error() string {
	if e.Status == StatusNotFound {
		return fmt.Sprintf("the command %q was not found", e.Name)
	}
	return fmt.Sprintf("the command %q cannot be started: %v", e.Name, e.Err)
}

// Unwrap returns the operating system's error.
func (e *StartError) Unwrap() error { return e.Err }

// Exited is how a tool ended that ran as a child.
type Exited struct {
	Status int // 128 and the signal's number if it was a signal, as shells say it
	Signal int // 0 for a tool that ended by itself
}

// Error says how it ended.
func (e *Exited) Error() string { return fmt.Sprintf("the command ended with status %d", e.Status) }
