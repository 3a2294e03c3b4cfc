package webrtc

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canSegment reports whether the kernel supports UDP_SEGMENT (Linux 4.18).
func canSegment(c *net.UDPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	known := false
	err = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		known = err == nil
	})
	return err == nil && known
}

// writeSegments sends p as datagrams of size bytes each, of which the last one may be shorter.
func writeSegments(c *net.UDPConn, p []byte, size int, to netip.AddrPort) error {
	var space [32]byte
	oob := space[:unix.CmsgSpace(2)]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&space[0])) // the kernel expects host byte order
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(oob[unix.CmsgLen(0):], uint16(size))
	_, _, err := c.WriteMsgUDPAddrPort(p, oob, to)
	return err
}

// segmentationUnsupported reports whether segmentation can never work here: EIO comes from a network card
// without checksum offload. Other errors concern one path, such as a small MTU.
func segmentationUnsupported(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EOPNOTSUPP)
}
