package cache

import "time"

// KernelOptions are what the kernel's keyring needs of the process.
type KernelOptions struct {
	// Service begins the description of each key, which is "Service:account".
	// It is the constant of that name where it is empty; tests, which run in
	// the keyring of whoever runs them, have one of their own.
	Service string
}

// kernelTTL is the longest that a key stays in the kernel's keyring, and how
// long it stays where nobody says.
const kernelTTL = 24 * time.Hour
