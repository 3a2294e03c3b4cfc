//go:build !race

package notify_test

// backlogSize is how many deliveries wait for the target that is down.
const backlogSize = 10_000
