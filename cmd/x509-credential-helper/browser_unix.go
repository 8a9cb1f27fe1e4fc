//go:build unix

package main

import "syscall"

// ownSession takes a child out of our terminal's reach.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
