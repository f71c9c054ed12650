// SPDX-License-Identifier: MIT

package flood

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// TriggerExt4 makes n errors on the mounted ext4 filesystem of a block device
// ("vdb", "loop0") through its own sysfs file: EFSCORRUPTED, no inode,
// GFP_ATOMIC. Mount it with errors=continue. Took is told what each took, in ns
// of CLOCK_MONOTONIC; it may be nil.
func TriggerExt4(device string, n int, took func(ns int64)) error {
	f, err := os.OpenFile(triggerFile(device), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("make an ext4 error: %w (is an ext4 filesystem mounted from %s?)", err, device)
	}
	defer f.Close()
	for i := range n {
		if err := timed(took, func() error { _, err := unix.Pwrite(int(f.Fd()), []byte("wqfan\n"), 0); return err }); err != nil {
			return fmt.Errorf("make ext4 error %d of %d: %w", i+1, n, err)
		}
	}
	return nil
}

// Trigger floods the mounted ext4 filesystem of a block device as s says, as far
// as Count and the schedule go: each error is a write(2) to its trigger_fs_error
// by one thread of this process. So the filesystem reports it itself, and prints
// it; see [TriggerNumber].
func Trigger(ctx context.Context, s Spec, device string) (Report, []Stamp, error) {
	f, err := os.OpenFile(triggerFile(device), os.O_WRONLY, 0)
	if err != nil {
		return Report{}, nil, fmt.Errorf("make ext4 errors: %w (is an ext4 filesystem mounted from %s?)", err, device)
	}
	defer f.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// A thread that nothing hurries sleeps up to 50 us too long.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return Report{}, nil, os.NewSyscallError("prctl", err)
	}
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)
	if err := untilPhase(); err != nil {
		return Report{}, nil, err
	}
	stamps := make([]Stamp, s.Count)
	gaps := rand.New(rand.NewPCG(s.Seed, 0))
	text := make([]byte, 0, 32)
	r := Report{Drained: true}
	start := monotonic()
	due := start
	for i := range stamps {
		switch s.Schedule {
		case Fixed:
			due = start + int64(i)*s.Interval.Nanoseconds()
		case Poisson:
			due += int64(gaps.ExpFloat64() * float64(s.Interval))
		}
		if s.Schedule == Fixed || s.Schedule == Poisson {
			at := unix.NsecToTimespec(due)
			for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil) == unix.EINTR {
			}
		}
		if err := ctx.Err(); err != nil {
			return r, stamps, err
		}
		text = strconv.AppendInt(append(text[:0], triggerText...), int64(i), 10)
		called := monotonic()
		if _, err := unix.Pwrite(int(f.Fd()), text, 0); err != nil {
			return r, stamps, fmt.Errorf("make ext4 error %d of %d: %w", i+1, s.Count, err)
		}
		stamps[i] = Stamp{Intended: due, Called: called, Returned: monotonic()}
		r.Attempted, r.Accepted = r.Attempted+1, r.Accepted+1
		r.LateMax = max(r.LateMax, time.Duration(called-due))
	}
	r.Elapsed = time.Duration(monotonic() - start)
	return r, stamps, nil
}

const triggerText = "wqfan error "

// TriggerNumber returns the number of the error of [Trigger] that a line of the
// kernel's log tells of, from 0.
func TriggerNumber(line []byte) (n uint64, ok bool) {
	i := bytes.LastIndex(line, []byte(": "+triggerText))
	if i < 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(line[i+2+len(triggerText):]), 10, 64)
	return n, err == nil
}

func triggerFile(device string) string {
	return filepath.Join("/sys/fs/ext4", device, "trigger_fs_error")
}

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail with a valid clock and pointer
	return ts.Nano()
}

// timed tells took, if there is one, how long f takes.
func timed(took func(ns int64), f func() error) error {
	if took == nil {
		return f()
	}
	before := monotonic()
	err := f()
	took(monotonic() - before)
	return err
}

// MakeFiles creates n empty files in dir and returns their names.
func MakeFiles(dir string, n int) ([]string, error) {
	names := make([]string, n)
	for i := range names {
		names[i] = filepath.Join(dir, fmt.Sprintf("f%05d", i))
		if err := os.WriteFile(names[i], nil, 0o600); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// Opens opens and closes each file once. Every open is one event of its own to
// a fanotify group that watches the directory: different objects do not merge.
func Opens(names []string) error {
	for _, name := range names {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: name, Err: err}
		}
		unix.Close(fd)
	}
	return nil
}

// KeyUpdates adds a key to the process keyring, has it watched and updates it n
// times: each update is one note to a watch queue that watches it. Took is told
// what each took, in ns of CLOCK_MONOTONIC; it may be nil.
func KeyUpdates(n int, watch func(key int) error, took func(ns int64)) error {
	// A process keyring that is made now is this thread's alone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Named after the moment, so that another cell's key is not updated too.
	name := fmt.Sprintf("wqfan-%d", time.Now().UnixNano())
	key, err := unix.AddKey("user", name, []byte("0"), unix.KEY_SPEC_PROCESS_KEYRING)
	if err != nil {
		return os.NewSyscallError("add_key", err)
	}
	if err := watch(key); err != nil {
		return err
	}
	payload := []byte("payload")
	for i := range n {
		if err := timed(took, func() error {
			_, err := unix.AddKey("user", name, payload, unix.KEY_SPEC_PROCESS_KEYRING)
			return err
		}); err != nil {
			return fmt.Errorf("update %d of key %d: %w", i+1, key, os.NewSyscallError("add_key", err))
		}
	}
	return nil
}
