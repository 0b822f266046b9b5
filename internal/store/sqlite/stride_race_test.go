//go:build race

package sqlite_test

// stride is wider under the race detector, which slows SQLite down eightfold
// and has nothing to say about what a disk keeps.
const stride = 7
