// Package ptytest runs a program on a pseudo terminal of its own, for tests of
// what people see and type. It runs on Linux only.
//
//	c := ptytest.Start(t, exec.Command("passwd"))
//	c.Expect("Password: ")
//	c.Type("secret\n")
//	status := c.Wait()
package ptytest
