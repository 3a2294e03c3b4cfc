//go:build !linux

package webrtc

import (
	"errors"
	"net"
	"net/netip"
)

var errSegments = errors.New("this system cannot segment UDP")

func canSegment(*net.UDPConn) bool { return false }

func canCoalesce(*net.UDPConn) bool { return false }

func readSegments(*net.UDPConn, []byte, []byte) (n, size int, from netip.AddrPort, err error) {
	return 0, 0, netip.AddrPort{}, errSegments
}

func writeSegments(*net.UDPConn, []byte, int, netip.AddrPort) error { return errSegments }

func segmentationUnsupported(err error) bool { return errors.Is(err, errSegments) }
