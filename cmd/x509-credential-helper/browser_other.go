//go:build !unix

package main

import "syscall"

// ownSession: there is no session to take a child out of.
func ownSession() *syscall.SysProcAttr { return nil }
