package capture

import (
	"encoding/binary"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// statusVLANValid is the bit TP_STATUS_VLAN_VALID of a packet's status
// (linux/if_packet.h): the kernel took a tag off.
const statusVLANValid = 1 << 4

// controlRoom is more than the control messages of a frame need.
const controlRoom = 256

// receiver receives frames from a socket without a ring, and allocates nothing.
type receiver struct {
	data    []byte
	control []byte
	iov     unix.Iovec
	msg     unix.Msghdr
}

func (r *receiver) init() {
	r.data = make([]byte, maxFrame)
	r.control = make([]byte, controlRoom)
}

// receive reads a frame into f, or returns an errno; EAGAIN when there is none.
func (r *receiver) receive(s *packetSocket, f *Frame, counts *sourceCounts) error {
	r.iov.Base = &r.data[0]
	r.iov.SetLen(len(r.data))
	r.msg = unix.Msghdr{Iov: &r.iov, Control: &r.control[0]}
	r.msg.SetIovlen(1)
	r.msg.SetControllen(len(r.control))
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&r.msg)), unix.MSG_TRUNC)
	if errno != 0 {
		return errno
	}
	*f = Frame{Link: s.link(), Data: r.data[:min(int(n), len(r.data))], Length: int(n)}
	r.readControl(f, r.control[:r.msg.Controllen])
	if f.Time.IsZero() {
		f.Time = time.Now().UTC()
	}
	counts.took(1, len(f.Data), f.Time.UnixNano())
	return nil
}

// readControl takes the time and the VLAN tag from the control messages.
func (r *receiver) readControl(f *Frame, control []byte) {
	for len(control) >= unix.SizeofCmsghdr {
		head := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		length := int(head.Len)
		if length < unix.SizeofCmsghdr || length > len(control) {
			return
		}
		value := control[unix.CmsgLen(0):length]
		switch {
		case head.Level == unix.SOL_SOCKET && head.Type == unix.SCM_TIMESTAMPNS && len(value) >= 16:
			f.Time = time.Unix(int64(binary.NativeEndian.Uint64(value)), int64(binary.NativeEndian.Uint64(value[8:]))).UTC()
		case head.Level == unix.SOL_PACKET && head.Type == unix.PACKET_AUXDATA && len(value) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})):
			aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&value[0]))
			f.Length = max(f.Length, int(aux.Len))
			if aux.Status&statusVLANValid != 0 {
				f.VLANs[0] = aux.Vlan_tci & vlanIDMask
			}
		}
		control = control[min(unix.CmsgSpace(length-unix.SizeofCmsghdr), len(control)):]
	}
}
