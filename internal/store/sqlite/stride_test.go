//go:build !race

package sqlite_test

// stride is how far apart the moments are that the power is cut at.
const stride = 1
