// Package fakesecret is a Secret Service with the behaviour of real ones on a
// bad day, for tests: locked, with a prompt that nobody answers or that is
// dismissed, without an answer to one method, with answers of strange types, or
// gone in mid-call. It runs in the test's own process on any D-Bus connection.
package fakesecret
