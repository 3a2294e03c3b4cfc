//go:build race

package notify_test

// backlogSize is how many deliveries wait for the target that is down. The race detector makes SQLite ten times
// slower, and the size changes nothing for it.
const backlogSize = 1000
