//go:build !linux

package cache

import "errors"

func childRing() error    { return errors.New("only on Linux") }
func childService() error { return errors.New("only on Linux") }
func childKernel() error  { return errors.New("only on Linux") }
func childStress() error  { return errors.New("only on Linux") }
