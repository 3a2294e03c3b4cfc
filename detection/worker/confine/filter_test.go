package confine

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// decide runs the filter of process 1234 on one system call.
func decide(t *testing.T, vm *bpf.VM, arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	// The VM loads big-endian words, as from a packet; the kernel loads words in its own order.
	data := make([]byte, offArgs+6*8)
	binary.BigEndian.PutUint32(data[offNumber:], nr)
	binary.BigEndian.PutUint32(data[offArch:], arch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[offArgs+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[offArgs+8*i+4:], uint32(a>>32))
	}
	got, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

func newVM(t *testing.T) *bpf.VM {
	t.Helper()
	vm, err := bpf.NewVM(filter(1234))
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func TestFilterDecidesByArguments(t *testing.T) {
	vm := newVM(t)
	const all = 1<<64 - 1
	for name, c := range map[string]struct {
		nr   uint32
		args []uint64
		want uint32
	}{
		"signal to itself":              {unix.SYS_KILL, []uint64{1234, 6}, allow},
		"signal to its process group":   {unix.SYS_KILL, []uint64{0, 9}, kill},
		"signal to every process":       {unix.SYS_KILL, []uint64{all, 9}, kill},
		"signal to another process":     {unix.SYS_TGKILL, []uint64{1233, 1233, 9}, kill},
		"signal to a thread of its own": {unix.SYS_TGKILL, []uint64{1234, 1240, 23}, allow},
		"flags of a descriptor":         {unix.SYS_FCNTL, []uint64{3, unix.F_SETFL, unix.O_NONBLOCK}, allow},
		"signals of a descriptor":       {unix.SYS_FCNTL, []uint64{3, unix.F_SETSIG, 9}, refuse},
		"owner of a descriptor":         {unix.SYS_FCNTL, []uint64{3, unix.F_SETOWN, 1233}, refuse},
		"new thread":                    {unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, allow},
		"new process":                   {unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, kill},
		"new process, shared memory":    {unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD)}, kill},
		"clone3":                        {unix.SYS_CLONE3, nil, unknown},
		"memory":                        {unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, allow},
		"executable memory":             {unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, refuse},
		"memory made executable":        {unix.SYS_MPROTECT, []uint64{0, 4096, unix.PROT_EXEC}, refuse},
		"thread name":                   {unix.SYS_PRCTL, []uint64{unix.PR_SET_NAME}, allow},
		"memory name":                   {unix.SYS_PRCTL, []uint64{unix.PR_SET_VMA}, allow},
		"dumpable":                      {unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE, 1}, refuse},
		"ptracer":                       {unix.SYS_PRCTL, []uint64{unix.PR_SET_PTRACER, all}, refuse},
		"own limits read":               {unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_DATA, 0, 4096}, allow},
		"own limits set":                {unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_DATA, 4096, 0}, refuse},
		"own limits set, high address":  {unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_DATA, 1 << 32, 0}, refuse},
		"limits of another process":     {unix.SYS_PRLIMIT64, []uint64{1, unix.RLIMIT_DATA, 0, 4096}, refuse},
	} {
		if got := decide(t, vm, auditArch, c.nr, c.args...); got != c.want {
			t.Errorf("%s: %#x, want %#x", name, got, c.want)
		}
	}
}

// Every number that is on no list is refused, also one of a future kernel, and every number of
// another architecture ends the process.
func TestFilterRefusesWhatIsNotListed(t *testing.T) {
	vm := newVM(t)
	byArgument := []uint32{
		unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_MMAP, unix.SYS_MPROTECT,
		unix.SYS_PRCTL, unix.SYS_PRLIMIT64, unix.SYS_FCNTL,
	}
	numbers := map[uint32]string{}
	for list, all := range map[string][]uint32{"allowed": allowed(), "hostile": hostile(), "by argument": byArgument} {
		for _, nr := range all {
			if other, ok := numbers[nr]; ok {
				t.Errorf("call %d is in the lists %q and %q", nr, other, list)
			}
			numbers[nr] = list
		}
	}
	for nr := range uint32(2000) {
		if got := decide(t, vm, auditArch^1, nr); got != kill {
			t.Fatalf("call %d of another architecture: %#x", nr, got)
		}
		want := refuse
		switch numbers[nr] {
		case "allowed":
			want = allow
		case "hostile":
			want = kill
		case "by argument":
			continue
		}
		if got := decide(t, vm, auditArch, nr); got != want {
			t.Errorf("call %d: %#x, want %#x", nr, got, want)
		}
	}
}

// What opens a file, a socket or a process, or changes a file by name, must never get onto the list.
func TestNothingThatOpensIsAllowed(t *testing.T) {
	for _, nr := range []uint32{
		unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT,
		unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG, unix.SYS_RECVMSG,
		unix.SYS_MEMFD_CREATE, unix.SYS_PIPE2, unix.SYS_IOCTL, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT2, unix.SYS_FCHMODAT,
		unix.SYS_MKNODAT, unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_SETSID, unix.SYS_SHMGET, unix.SYS_MQ_OPEN,
	} {
		if slices.Contains(allowed(), nr) {
			t.Errorf("call %d is allowed", nr)
		}
	}
}

func TestLandlockHandlesAllRightsOfEachABI(t *testing.T) {
	for abi, want := range map[int]unix.LandlockRulesetAttr{
		1: {Handled_access_fs: 0x1fff},
		2: {Handled_access_fs: 0x3fff},
		3: {Handled_access_fs: 0x7fff},
		4: {Handled_access_fs: 0x7fff, Handled_access_net: 3},
		5: {Handled_access_fs: 0xffff, Handled_access_net: 3},
		7: {Handled_access_fs: 0xffff, Handled_access_net: 3, Scoped: 3},
	} {
		if got := rulesetFor(abi); got != want {
			t.Errorf("ABI %d: %+v, want %+v", abi, got, want)
		}
	}
}
