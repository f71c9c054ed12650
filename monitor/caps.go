// SPDX-License-Identifier: MIT

package monitor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Needs returns the capabilities that a monitor takes for as long as it runs.
//
// All backends need CAP_SYS_ADMIN to watch a filesystem, and new ones are
// mounted at any time. CAP_DAC_READ_SEARCH opens inodes by their handle, to find
// their paths, and reaches mount points below folders that are closed.
func Needs() []int { return []int{unix.CAP_SYS_ADMIN, unix.CAP_DAC_READ_SEARCH} }

// capHeader and capData are struct __user_cap_header_struct and
// __user_cap_data_struct, linux/capability.h.
type (
	capHeader struct {
		version uint32
		pid     int32
	}
	capData [2]struct{ effective, permitted, inheritable uint32 }
)

// DropAllBut gives up all capabilities of the process but those, for good: of
// these it keeps what it has. Neither it nor what it runs can get any back.
func DropAllBut(keep []int) error {
	header := capHeader{version: unix.LINUX_CAPABILITY_VERSION_3}
	var data capData
	if _, _, errno := unix.Syscall(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0); errno != 0 {
		return os.NewSyscallError("capget", errno)
	}
	var mask [2]uint32
	for _, c := range keep {
		mask[c/32] |= 1 << (c % 32)
	}
	if err := prctl("PR_SET_NO_NEW_PRIVS", unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return err
	}
	if err := prctl("PR_CAP_AMBIENT_CLEAR_ALL", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return err
	}
	if data[unix.CAP_SETPCAP/32].effective&(1<<unix.CAP_SETPCAP) != 0 {
		for c := 0; c <= unix.CAP_LAST_CAP; c++ {
			if mask[c/32]&(1<<(c%32)) != 0 {
				continue
			}
			// EINVAL: the kernel is older than the capability.
			if err := prctl("PR_CAPBSET_DROP", unix.PR_CAPBSET_DROP, uintptr(c), 0); err != nil && !errors.Is(err, unix.EINVAL) {
				return err
			}
		}
	}
	for i := range data {
		data[i].permitted &= mask[i]
		data[i].effective = data[i].permitted
		data[i].inheritable = 0
	}
	// Converted in the call itself, so that the pointers stay where they are.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0)
	if errno != 0 {
		return fmt.Errorf("give up capabilities: %w", os.NewSyscallError("capset", errno))
	}
	return nil
}

// prctl makes the call on every thread: capabilities are a thread's.
func prctl(what string, option, a2, a3 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, option, a2, a3, 0, 0, 0)
	switch errno {
	case 0:
	case unix.ENOTSUP:
		return fmt.Errorf("give up capabilities: %w (this program was built with cgo, build it with CGO_ENABLED=0)", errno)
	default:
		return fmt.Errorf("give up capabilities: %w", os.NewSyscallError("prctl "+what, errno))
	}
	return nil
}
