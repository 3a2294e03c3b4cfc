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
	return control(c, func(fd int) error {
		_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		return err
	})
}

// canCoalesce turns UDP_GRO on and reports whether the kernel supports it (Linux 5.0).
func canCoalesce(c *net.UDPConn) bool {
	return control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) })
}

// control reports whether do succeeds on the socket.
func control(c *net.UDPConn, do func(fd int) error) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	done := false
	err = raw.Control(func(fd uintptr) { done = do(int(fd)) == nil })
	return err == nil && done
}

// readSegments reads what the kernel has put together, n bytes from one address: datagrams of size bytes each, of which
// the last one may be shorter. oob has room for a control message.
func readSegments(c *net.UDPConn, p, oob []byte) (n, size int, from netip.AddrPort, err error) {
	n, used, _, from, err := c.ReadMsgUDPAddrPort(p, oob)
	if err != nil || used < unix.CmsgLen(4) {
		return n, n, from, err
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	if h.Level != unix.IPPROTO_UDP || h.Type != unix.UDP_GRO {
		return n, n, from, nil
	}
	return n, int(int32(binary.NativeEndian.Uint32(oob[unix.CmsgLen(0):]))), from, nil
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
