// SPDX-License-Identifier: MIT

package flood

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
)

// Dir is where the series' CONFIG_FS_ERROR_INJECT puts its files
// (fs/fserror_inject.c).
const Dir = "/sys/kernel/debug/fserror_inject"

// Schedule says when errors are due.
type Schedule string

// Flat is a closed loop: the next error is made when the last report returned.
// Fixed and Poisson are open loops: an error is due when it is due.
const (
	Flat    Schedule = "flat"
	Fixed   Schedule = "fixed"
	Poisson Schedule = "poisson"
)

// Spec is a flood: what the injector is asked to do.
type Spec struct {
	Count    uint64        // errors to make
	Schedule Schedule      // zero value: Flat
	Interval time.Duration // mean gap between errors, over all threads, in guest time
	Burst    uint64        // after each Burst errors …
	Gap      time.Duration // … the due time jumps by Gap
	Seed     uint64        // of the Poisson gaps
	Class    fserr.Class
	Errno    fserr.Errno
	PerInode bool   // errors name the target's inode; otherwise only its superblock
	Threads  int    // reporting kernel threads, zero value: 1
	CPUs     string // cpulist; thread k runs on the k-th, round robin; "" leaves them unbound
	Atomic   bool   // GFP_ATOMIC instead of GFP_KERNEL
	Context  string // task, irqoff, softirq, hardirq; "" is task
	Log      bool   // keep a Stamp of every error
	Blob     int    // bytes of a filesystem-specific record with each error, up to 4096
	Trigger  bool   // made through ext4's trigger_fs_error instead, see [Trigger]
}

// minBound is what an injector may always be late by: the way from its timer to
// its thread is some microseconds, and other threads are in it.
const minBound = 100 * time.Microsecond

// Bound is how late the injector of an open loop may be at p99 for the flood to
// be the one that was asked for: a mean gap, but at least 100 µs, and for bursts
// the pause between two.
func (s Spec) Bound() time.Duration {
	if s.Burst > 0 {
		return s.Gap
	}
	return max(s.Interval, minBound)
}

// command returns the words that fs/fserror_inject.c takes, with fds as targets.
func (s Spec) command(fds []int) string {
	var b strings.Builder
	b.WriteString("targets=")
	for i := 0; i < len(fds); {
		j := i + 1
		for j < len(fds) && fds[j] == fds[j-1]+1 {
			j++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(fds[i]))
		if j > i+1 {
			fmt.Fprintf(&b, "-%d", fds[j-1])
		}
		i = j
	}
	scope, gfp := "fs", "kernel"
	if s.PerInode {
		scope = "inode"
	}
	if s.Atomic || s.Context != "" && s.Context != "task" {
		gfp = "atomic" // nothing else is possible with interrupts off
	}
	if s.Schedule == "" {
		s.Schedule = Flat
	}
	fmt.Fprintf(&b, " scope=%s count=%d schedule=%s class=%v errno=%d threads=%d gfp=%s drain=1",
		scope, s.Count, s.Schedule, s.Class, uint32(s.Errno), max(s.Threads, 1), gfp)
	if s.Interval > 0 {
		fmt.Fprintf(&b, " interval=%d", s.Interval.Nanoseconds())
	}
	if s.Burst > 0 {
		fmt.Fprintf(&b, " burst=%d gap=%d", s.Burst, s.Gap.Nanoseconds())
	}
	if s.Seed > 0 {
		fmt.Fprintf(&b, " seed=%d", s.Seed)
	}
	if s.CPUs != "" {
		fmt.Fprintf(&b, " cpus=%s", s.CPUs)
	}
	if s.Context != "" {
		fmt.Fprintf(&b, " context=%s", s.Context)
	}
	if s.Blob > 0 {
		fmt.Fprintf(&b, " blob=%d", s.Blob)
	}
	if s.Log {
		b.WriteString(" log=1")
	}
	return b.String()
}

// IsBlob says whether b is the filesystem's own record that comes with error
// seq: n bytes, which may be padded with up to three that are zero.
func IsBlob(b []byte, seq uint64, n int) bool {
	if len(b) < n || len(b) > n+3 {
		return false
	}
	for i, v := range b {
		if i < n && v != byte(seq+uint64(i)) || i >= n && v != 0 {
			return false
		}
	}
	return true
}

// Report is what the injector says of a flood. Times are CLOCK_MONOTONIC.
type Report struct {
	Attempted    uint64 // calls of fserror_report()
	Accepted     uint64 // it took the report on
	Refused      uint64 // it did not
	Elapsed      time.Duration
	LateMax      time.Duration // largest lag of a call behind the time it was due
	IRQClobbered uint64        // calls made with interrupts off that came back with them on
	Drained      bool          // fserror's worker has handled every report
}

// Stamp is the injector's log of one error, CLOCK_MONOTONIC ns.
type Stamp struct {
	Intended int64 // when it was due; the error's len
	Called   int64 // fserror_report() entered
	Returned int64 // fserror_report() left
}

// StampSize is what a stamp takes in the injector's log, in bytes (struct
// inject_log in fs/fserror_inject.c).
const StampSize = 24

// ErrNoInjector says that the kernel has no error injector.
var ErrNoInjector = errors.New("the kernel has no filesystem error injector: it lacks the patch \"fserror: add an error injector\" or CONFIG_FS_ERROR_INJECT")

// Inject floods the filesystems of targets as s says: error i hits target i
// modulo their number. It returns when all errors are reported and handled by
// fserror's worker, or early, with what was done so far, when ctx ends.
func Inject(ctx context.Context, s Spec, targets ...*os.File) (Report, error) {
	f, err := os.OpenFile(Dir+"/run", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return Report{}, fmt.Errorf("%w (%v)", ErrNoInjector, err)
	}
	if err != nil {
		return Report{}, fmt.Errorf("open the error injector: %w", err)
	}
	defer f.Close()

	fds := make([]int, len(targets))
	for i, t := range targets {
		fds[i] = int(t.Fd())
	}
	cmd := s.command(fds)
	runErr := writeInterruptibly(ctx, f, cmd)
	runtime.KeepAlive(targets)

	buf := make([]byte, 4096)
	n, err := f.ReadAt(buf, 0)
	if n == 0 && runErr == nil {
		return Report{}, fmt.Errorf("read the injector's report: %w", err)
	}
	r, err := parseReport(buf[:n])
	switch {
	case ctx.Err() != nil:
		return r, fmt.Errorf("inject %q: %w", cmd, ctx.Err())
	case runErr != nil:
		return r, fmt.Errorf("inject %q: %w (the kernel log says which word it did not take)", cmd, runErr)
	case err != nil:
		return r, fmt.Errorf("inject %q: %w", cmd, err)
	}
	return r, nil
}

// writeInterruptibly makes the one write that runs the flood. It happens on a
// thread of its own that takes no signal but the one that ends the flood, so
// that no SIGCHLD or timer cuts a measurement short.
func writeInterruptibly(ctx context.Context, f *os.File, cmd string) error {
	fd := int(f.Fd())
	tid := make(chan int, 1)
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread, with its signal mask, ends with the goroutine.
		runtime.LockOSThread()
		var mask unix.Sigset_t
		for i := range mask.Val {
			mask.Val[i] = ^uint64(0)
		}
		mask.Val[0] &^= 1 << (unix.SIGUSR2 - 1)
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil); err != nil {
			tid <- 0
			done <- os.NewSyscallError("pthread_sigmask", err)
			return
		}
		tid <- unix.Gettid()
		if err := untilPhase(); err != nil {
			done <- err
			return
		}
		_, err := unix.Write(fd, []byte(cmd))
		done <- os.NewSyscallError("write", err)
	}()
	thread := <-tid
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// The signal can come before the write has begun, so say it until heard.
	for {
		if thread != 0 {
			_ = unix.Tgkill(os.Getpid(), thread, unix.SIGUSR2)
		}
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// phase is a multiple of every length that a kernel's tick may have. The tick
// falls on multiples of its length: floods that begin on those of phase meet it
// alike, in this boot and in another, and not by the accident of when they began.
const phase = 20 * time.Millisecond

// untilPhase sleeps until CLOCK_MONOTONIC is a multiple of phase.
func untilPhase() error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return os.NewSyscallError("clock_gettime", err)
	}
	at := unix.NsecToTimespec((ts.Nano()/int64(phase) + 1) * int64(phase))
	// EINTR is the signal that ends the flood, which has not begun then.
	return os.NewSyscallError("clock_nanosleep", unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil))
}

func parseReport(b []byte) (Report, error) {
	var r Report
	seen := 0
	for line := range bytes.Lines(b) {
		key, val, ok := strings.Cut(strings.TrimSpace(string(line)), " ")
		if !ok {
			return r, fmt.Errorf("injector's report: line %q is not `key value`", line)
		}
		v, err := strconv.ParseInt(strings.TrimSpace(val), 10, 64)
		if err != nil {
			return r, fmt.Errorf("injector's report: %s: %w", key, err)
		}
		seen++
		switch key {
		case "attempted":
			r.Attempted = uint64(v)
		case "accepted":
			r.Accepted = uint64(v)
		case "refused":
			r.Refused = uint64(v)
		case "elapsed_ns":
			r.Elapsed = time.Duration(v)
		case "late_max_ns":
			r.LateMax = time.Duration(v)
		case "irq_clobbered":
			r.IRQClobbered = uint64(v)
		case "drained":
			r.Drained = v != 0
		default:
			seen--
		}
	}
	if seen < 7 {
		return r, fmt.Errorf("injector's report: %d of 7 values in %q", seen, b)
	}
	if r.Attempted != r.Accepted+r.Refused {
		return r, fmt.Errorf("injector's report does not add up: attempted %d, accepted %d, refused %d", r.Attempted, r.Accepted, r.Refused)
	}
	return r, nil
}

// Log returns the stamps of the last flood that asked for them, in the order
// of the errors' sequence numbers.
func Log() ([]Stamp, error) {
	b, err := os.ReadFile(Dir + "/log")
	if err != nil {
		return nil, fmt.Errorf("read the injector's log: %w", err)
	}
	return parseLog(b)
}

func parseLog(b []byte) ([]Stamp, error) {
	if len(b)%StampSize != 0 {
		return nil, fmt.Errorf("injector's log: %d bytes are no multiple of %d", len(b), StampSize)
	}
	s := make([]Stamp, len(b)/StampSize)
	for i := range s {
		rec := b[i*StampSize:]
		s[i] = Stamp{
			Intended: int64(binary.NativeEndian.Uint64(rec)),
			Called:   int64(binary.NativeEndian.Uint64(rec[8:])),
			Returned: int64(binary.NativeEndian.Uint64(rec[16:])),
		}
	}
	return s, nil
}
