//go:build !linux

package cache

// NewKernelKeyring returns nil: only Linux has one.
func NewKernelKeyring(KernelOptions) TimedStore { return nil }
