// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
)

func threaded(t testing.TB) (*Reader, *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(fds[1]), "write")
	c := cfg
	c.Thread = true
	r, err := New(fds[0], c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close(nil)
		w.Close()
	})
	return r, w
}

// A read that waits on its own thread is ended by what ends any other read.
func TestThreadWaits(t *testing.T) {
	ends := map[string]struct {
		end  func(r *Reader, w *os.File, cancel func())
		want error
	}{
		"news":     {func(_ *Reader, w *os.File, _ func()) { io.WriteString(w, "7") }, nil},
		"deadline": {func(r *Reader, _ *os.File, _ func()) { r.SetReadDeadline(time.Now().Add(time.Millisecond)) }, os.ErrDeadlineExceeded},
		"context":  {func(_ *Reader, _ *os.File, cancel func()) { cancel() }, context.Canceled},
		"close":    {func(r *Reader, _ *os.File, _ func()) { r.Close(nil) }, os.ErrClosed},
	}
	for name, tt := range ends {
		t.Run(name, func(t *testing.T) {
			r, w := threaded(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, err := r.Read(ctx, make([]fserr.Event, 4))
				done <- err
			}()
			time.Sleep(5 * time.Millisecond) // mostly it waits by now; both orders must do
			tt.end(r, w, cancel)
			select {
			case err := <-done:
				if !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the read goes on")
			}
		})
	}
}

func TestThreadAfterClose(t *testing.T) {
	r, _ := threaded(t)
	r.Close(nil)
	if _, err := r.Read(t.Context(), make([]fserr.Event, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := r.SetReadDeadline(time.Now()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("deadline: got %v", err)
	}
}

func TestThreadDoesNotAllocate(t *testing.T) {
	r, w := threaded(t)
	events, ctx := make([]fserr.Event, 4), t.Context()
	if n := testing.AllocsPerRun(100, func() {
		io.WriteString(w, "12")
		if n, err := r.Read(ctx, events); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		r.SetReadDeadline(time.Now().Add(time.Microsecond))
		if _, err := r.Read(ctx, events); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		r.SetReadDeadline(time.Time{})
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// What waits on its own thread does not block, and the runtime's poller has
// nothing to do with it.
func TestThreadLeavesPoller(t *testing.T) {
	r, _ := threaded(t)
	if err := r.file.SetReadDeadline(time.Time{}); !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("a deadline of the poller's: got %v, want %v", err, os.ErrNoDeadline)
	}
	var flags int
	if err := r.Do("flags", func(fd int) (err error) { flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); return err }, nil); err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, %v, want O_NONBLOCK", flags, err)
	}
}
