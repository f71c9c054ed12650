// SPDX-License-Identifier: MIT

package repro

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// holderEnv marks the process that holds memory for a script.
const holderEnv = "WQFAN_REPRO_HOLDER"

// Hold does not return in the process that a script has started to hold memory;
// elsewhere it does nothing. A program that performs behaviours calls it before
// anything else.
func Hold() {
	if os.Getenv(holderEnv) == "" {
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the script ends
	os.Exit(0)
}

// leave takes the machine's memory until so many MiB are free. It is a file
// without a name that another process has open, the one that the kernel kills
// first when it needs memory back.
func (s *stage) leave(mib int) (err error) {
	const self = "/proc/self/oom_score_adj"
	was, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	if err := os.WriteFile(self, []byte("-1000"), 0); err != nil {
		return err
	}
	s.later(func() error { return os.WriteFile(self, was, 0) })
	fd, err := unix.MemfdCreate("wqfan-memory", unix.MFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	memory := os.NewFile(uintptr(fd), "memory")
	defer memory.Close()
	if err := s.holder(memory); err != nil {
		return fmt.Errorf("start a process that holds memory: %w", err)
	}
	const chunk = 1 << 20
	for size := int64(0); ; size += chunk {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return os.NewSyscallError("sysinfo", err)
		}
		free := info.Freeram * uint64(info.Unit) >> 20
		if free <= uint64(mib) {
			s.note("%d MiB taken, %d are free", size>>20, free)
			return nil
		}
		if err := unix.Fallocate(fd, 0, size, chunk); err != nil {
			return fmt.Errorf("take memory: %w", os.NewSyscallError("fallocate", err))
		}
	}
}

// holder starts a process that has memory open until the script ends.
func (s *stage) holder(memory *os.File) error {
	stdin, end, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{"wqfan"}, &os.ProcAttr{
		Env: []string{holderEnv + "=1"}, Files: []*os.File{stdin, nil, os.Stderr, memory},
	})
	if err != nil {
		end.Close()
		return err
	}
	s.later(func() error {
		end.Close()
		_, err := p.Wait() // the kernel may have killed it
		return err
	})
	return os.WriteFile(filepath.Join("/proc", strconv.Itoa(p.Pid), "oom_score_adj"), []byte("1000"), 0)
}
