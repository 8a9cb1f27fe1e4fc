//go:build !unix

package myproxy

// nonblock has no meaning where named pipes are not files.
const nonblock = 0
