// SPDX-License-Identifier: MIT

package stream

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// waiter lets a Reader wait in ppoll(2) on the thread that called Read, where
// the runtime's poller would put a scheduler between the kernel and the reader.
// An eventfd ends the wait when the deadline changes or the reader is closed.
type waiter struct {
	wake     *os.File
	deadline atomic.Int64 // on the clock of Now; 0 is none
	closed   atomic.Bool
	fds      [2]unix.PollFd
	left     unix.Timespec // a field so that a wait does not allocate
	step     func(fd uintptr)
	err      error // of the last step
	woken    int64 // when the last wait ended, on the clock of Now
}

func newWaiter() (*waiter, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd2", err)
	}
	w := &waiter{wake: os.NewFile(uintptr(fd), "eventfd")}
	w.step = w.poll
	w.fds[1] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	return w, nil
}

// until sets the deadline and makes a wait that is under way look at it.
func (w *waiter) until(t time.Time) error {
	var at int64
	if !t.IsZero() {
		at = max(1, Now()+time.Until(t).Nanoseconds())
	}
	w.deadline.Store(at)
	return w.ring()
}

// bell is what an eventfd takes: a number that is not zero.
var bell = []byte{1, 0, 0, 0, 0, 0, 0, 0}

func (w *waiter) ring() error {
	_, err := w.wake.Write(bell)
	return err
}

// close ends a wait that is under way and lets none begin.
func (w *waiter) close() {
	w.closed.Store(true)
	_ = w.ring()
}

// poll waits once, for news of fd, the deadline or the bell.
func (w *waiter) poll(fd uintptr) {
	w.err = nil
	var timeout *unix.Timespec
	if at := w.deadline.Load(); at != 0 {
		left := at - Now()
		if left <= 0 {
			w.err = os.ErrDeadlineExceeded
			return
		}
		w.left = unix.NsecToTimespec(left)
		timeout = &w.left
	}
	w.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	if _, err := unix.Ppoll(w.fds[:], timeout, nil); err != nil && err != unix.EINTR {
		w.err = os.NewSyscallError("ppoll", err)
		return
	}
	w.woken = Now()
	if w.fds[1].Revents != 0 {
		var b [8]byte
		_, _ = unix.Read(int(w.fds[1].Fd), b[:])
	}
}

// fill is one answer of attempt, however long it takes to come.
func (w *waiter) fill(r *Reader) error {
	for !w.closed.Load() {
		if err := r.raw.Control(r.once); err != nil || r.err != unix.EAGAIN {
			return err
		}
		if err := r.raw.Control(w.step); err != nil || w.err != nil {
			if err == nil {
				err = w.err
			}
			return err
		}
	}
	return os.ErrClosed
}
