package rig

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreeAddress returns an address of this machine on which nobody listens, by TCP or by UDP. Its port is
// below those that the kernel gives to outgoing connections (32768 and above on Linux): a program that
// is stopped and started again finds the port free, however many connections were made meanwhile.
func FreeAddress(host string) (string, error) {
	const lowest, highest, attempts = 10000, 32767, 100
	var err error
	for range attempts {
		address := net.JoinHostPort(host, strconv.Itoa(lowest+rand.IntN(highest-lowest+1)))
		if err = probe(address); err == nil {
			return address, nil
		}
	}
	return "", fmt.Errorf("looking for a free port: %w", err)
}

// probe listens on an address for a moment.
func probe(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	p, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	return p.Close()
}
