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
	leave := os.Getenv(holderEnv)
	if leave == "" {
		return
	}
	taken, err := take(leave)
	if err != nil {
		fmt.Fprintln(os.Stderr, "wqfan: take memory:", err)
		os.Exit(1)
	}
	fmt.Println(taken)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the script ends
	os.Exit(0)
}

// holderMiB is what one of the processes takes: little, for what the kernel takes
// back when it kills one must not be enough for a flood.
const holderMiB = 16

// take takes memory until so many MiB are free, or it has enough, and returns how
// many it has. It is memory that the kernel can take back from a process that it
// kills before that has ended: a file's would not be.
func take(leave string) (taken int, err error) {
	mib, err := strconv.Atoi(leave)
	if err != nil {
		return 0, err
	}
	for ; taken < holderMiB; taken++ {
		free, err := freeMiB()
		if err != nil || free <= mib {
			return taken, err
		}
		if _, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE); err != nil {
			return taken, os.NewSyscallError("mmap", err)
		}
	}
	return taken, nil
}

func freeMiB() (int, error) {
	var info unix.Sysinfo_t
	err := unix.Sysinfo(&info)
	return int(info.Freeram * uint64(info.Unit) >> 20), os.NewSyscallError("sysinfo", err)
}

// leave has other processes take the machine's memory until so many MiB are free.
// They are the ones that the kernel kills first when it needs memory back, and
// this one the last.
func (s *stage) leave(mib int) error {
	const self = "/proc/self/oom_score_adj"
	was, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	s.later(func() error { return os.WriteFile(self, was, 0) })
	if err := os.WriteFile(self, []byte("-1000"), 0); err != nil {
		return err
	}
	for holders := 0; ; holders++ {
		free, err := freeMiB()
		if err != nil {
			return err
		}
		if free <= mib {
			s.note("%d MiB are free, the others taken by %d processes", free, holders)
			return nil
		}
		if err := s.holder(mib); err != nil {
			return fmt.Errorf("a process that holds memory: %w", err)
		}
	}
}

// holder starts a process that has taken memory when holder returns, and keeps it
// until the script ends.
func (s *stage) holder(mib int) error {
	stdin, end, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	answer, stdout, err := os.Pipe()
	if err != nil {
		end.Close()
		return err
	}
	defer answer.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{"wqfan"}, &os.ProcAttr{
		Env: []string{fmt.Sprintf("%s=%d", holderEnv, mib)}, Files: []*os.File{stdin, stdout, os.Stderr},
	})
	stdout.Close()
	if err != nil {
		end.Close()
		return err
	}
	s.later(func() error {
		end.Close()
		_, err := p.Wait() // the kernel may have killed it
		return err
	})
	if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(p.Pid), "oom_score_adj"), []byte("1000"), 0); err != nil {
		return err
	}
	var taken int
	_, err = fmt.Fscan(answer, &taken)
	return err
}
