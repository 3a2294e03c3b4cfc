//go:build !linux

package webrtc

import (
	"errors"
	"net"
	"net/netip"
)

var errSegments = errors.New("this system cannot segment UDP")

func canSegment(*net.UDPConn) bool { return false }

func writeSegments(*net.UDPConn, []byte, int, netip.AddrPort) error { return errSegments }

func unable(err error) bool { return errors.Is(err, errSegments) }
