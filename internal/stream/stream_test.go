// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// The test channel's records are one byte each: a digit is an error with that
// count, 'x' cannot be decoded, '!' hides where the next record starts.
func decode(b []byte, e *fserr.Event) (int, error) {
	*e = fserr.Event{}
	switch b[0] {
	case 'x':
		return 1, &fserr.FormatError{Channel: "test", Record: "x"}
	case '!':
		return 0, &fserr.FormatError{Channel: "test", Record: "!"}
	}
	*e = fserr.Event{Kind: fserr.Error, Has: fserr.HasCount, Count: uint64(b[0] - '0')}
	return 1, nil
}

var cfg = Config{Name: "test channel", Size: 16, TooSmall: unix.ENOBUFS, Decode: decode}

// channel returns a reader of a pipe, and the pipe's other end.
func channel(t testing.TB) (*Reader, *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(fds[1]), "write")
	r, err := New(fds[0], cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close(nil)
		w.Close()
	})
	return r, w
}

func counts(events []fserr.Event) []uint64 {
	var c []uint64
	for _, e := range events {
		c = append(c, e.Count)
	}
	return c
}

// read expects events with these counts from one Read.
func read(t *testing.T, r *Reader, events []fserr.Event, want ...uint64) {
	t.Helper()
	n, err := r.Read(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	if got := counts(events[:n]); !slices.Equal(got, want) {
		t.Fatalf("read counts %v, want %v", got, want)
	}
}

func TestReadLeftOver(t *testing.T) {
	r, w := channel(t)
	start := Now()
	io.WriteString(w, "12345")
	events := make([]fserr.Event, 2)
	read(t, r, events, 1, 2)
	recv := events[0].Recv
	if recv < start || recv > Now() {
		t.Errorf("received at %d, which is not between %d and now", recv, start)
	}
	read(t, r, events, 3, 4)
	if events[1].Recv != recv {
		t.Error("the second half of a batch has another receive time")
	}
	read(t, r, events, 5)
	if r.Reads() != 1 {
		t.Errorf("%d reads for one batch", r.Reads())
	}
	if n, err := r.Read(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("a read into nothing: %d, %v", n, err)
	}
}

func TestReadMalformed(t *testing.T) {
	r, w := channel(t)
	io.WriteString(w, "1x2")
	events := make([]fserr.Event, 4)
	read(t, r, events, 1)
	var format *fserr.FormatError
	if _, err := r.Read(t.Context(), events); !errors.As(err, &format) {
		t.Fatalf("got %v, want a format error", err)
	}
	read(t, r, events, 2)

	io.WriteString(w, "!2")
	if _, err := r.Read(t.Context(), events); !errors.As(err, &format) {
		t.Fatalf("got %v, want a format error", err)
	}
	io.WriteString(w, "3")
	read(t, r, events, 3) // not 2: nobody knows where it starts
}

func TestReadDeadline(t *testing.T) {
	r, w := channel(t)
	events := make([]fserr.Event, 4)
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(t.Context(), events); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d, %v", n, err)
	}
	// A deadline that is over makes it a poll.
	io.WriteString(w, "1")
	read(t, r, events, 1)
	if n, err := r.Read(t.Context(), events); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d, %v", n, err)
	}
	if err := r.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go io.WriteString(w, "2")
	read(t, r, events, 2)
}

func TestReadContext(t *testing.T) {
	r, w := channel(t)
	events := make([]fserr.Event, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if n, err := r.Read(ctx, events); n != 0 || err != context.Canceled {
		t.Fatalf("got %d, %v", n, err)
	}
	io.WriteString(w, "12")
	if n, err := r.Read(ctx, events); n != 0 || err != context.Canceled {
		t.Fatalf("got %d, %v", n, err)
	}
	// Another context is not hit by the end of the first.
	read(t, r, events, 1)
	// What was taken from the kernel comes first.
	if n, err := r.Read(ctx, events); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if _, err := r.Read(ctx, events); err != context.Canceled {
		t.Fatalf("got %v", err)
	}
}

// A context's end does not undo the caller's deadline, and the deadline does not
// undo the context's end.
func TestContextAndDeadline(t *testing.T) {
	r, _ := channel(t)
	events := make([]fserr.Event, 1)
	if err := r.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := r.Read(ctx, events); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	cancel()
	if _, err := r.Read(ctx, events); err != context.Canceled {
		t.Fatalf("got %v", err)
	}
	if _, err := r.Read(context.Background(), events); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := r.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(ctx, events); err != context.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
	if err := r.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(ctx, events); err != context.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
}

func TestClose(t *testing.T) {
	r, w := channel(t)
	events := make([]fserr.Event, 1)
	io.WriteString(w, "12x3!4")
	read(t, r, events, 1)
	var dropped []uint64
	if err := r.Close(func(e *fserr.Event) { dropped = append(dropped, e.Count) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(dropped, []uint64{2, 3}) {
		t.Errorf("dropped %v, want 2 and 3", dropped)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, f := range map[string]func() error{
		"Read":            func() error { _, err := r.Read(ctx, events); return err },
		"SetReadDeadline": func() error { return r.SetReadDeadline(time.Now()) },
		"Do":              func() error { return r.Do("nothing", func(int) error { return nil }, nil) },
		"Close":           func() error { return r.Close(nil) },
	} {
		if err := f(); err != os.ErrClosed {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

func TestCloseEndsRead(t *testing.T) {
	r, _ := channel(t)
	ended := make(chan error)
	go func() {
		_, err := r.Read(context.Background(), make([]fserr.Event, 1))
		ended <- err
	}()
	if err := r.Close(nil); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != os.ErrClosed {
		t.Fatalf("got %v", err)
	}
}

// script replaces read(2): the descriptor itself never becomes ready, as a
// watch queue does not for a loss that is pending.
func script(r *Reader, answers ...any) {
	r.sysRead = func(_ int, b []byte) (int, error) {
		if len(answers) == 0 {
			return -1, unix.EAGAIN
		}
		a := answers[0]
		answers = answers[1:]
		if err, ok := a.(error); ok {
			return -1, err
		}
		return copy(b, a.(string)), nil
	}
}

// TestUnannounced is about what poll(2) does not say: Read must ask read(2)
// before it waits, whatever the deadline.
func TestUnannounced(t *testing.T) {
	r, _ := channel(t)
	events := make([]fserr.Event, 4)
	script(r, "12", "3", unix.EINTR, "4")
	read(t, r, events, 1, 2)
	read(t, r, events, 3)
	if err := r.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	read(t, r, events, 4)
	if _, err := r.Read(t.Context(), events); err != os.ErrDeadlineExceeded {
		t.Fatalf("got %v", err)
	}
}

func TestReadErrors(t *testing.T) {
	for _, test := range []struct {
		answer any
		want   error
		text   string
	}{
		{unix.ENOBUFS, unix.ENOBUFS, "read test channel: the next record does not fit the read buffer of 16 bytes, raise Config.BufferSize: no buffer space available"},
		{unix.EIO, unix.EIO, "read test channel: input/output error"},
		{"", io.EOF, "read test channel: EOF"},
	} {
		r, _ := channel(t)
		script(r, test.answer)
		_, err := r.Read(t.Context(), make([]fserr.Event, 1))
		if !errors.Is(err, test.want) || err.Error() != test.text {
			t.Errorf("%v gives %q", test.answer, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	file, err := os.Open(t.TempDir()) // cannot be polled
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(fd, cfg); err == nil || !strings.Contains(err.Error(), "poll test channel") {
		t.Errorf("a folder: %v", err)
	}
	if fd, err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	bad := cfg
	bad.Size = -1
	if _, err := New(fd, bad); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a negative size: %v", err)
	}
}

func TestDo(t *testing.T) {
	r, _ := channel(t)
	remedy := map[error]string{unix.EPERM: "be root"}
	for _, test := range []struct {
		answer syscall.Errno
		text   string
	}{
		{unix.EPERM, "try: operation not permitted (be root)"},
		{unix.ENOENT, "try: no such file or directory"},
	} {
		err := r.Do("try", func(int) error { return test.answer }, remedy)
		if !errors.Is(err, test.answer) || err.Error() != test.text {
			t.Errorf("%v gives %q", test.answer, err)
		}
	}
	b, err := r.Fdinfo()
	if err != nil || !strings.HasPrefix(string(b), "pos:") {
		t.Errorf("fdinfo: %q, %v", b, err)
	}
}

// Now must be the clock that the kernel stamps records with.
func TestNow(t *testing.T) {
	monotonic := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano()
	}
	before, now, after := monotonic(), Now(), monotonic()
	if now < before || now > after {
		t.Errorf("%d is not between %d and %d", now, before, after)
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	r, w := channel(t)
	events := make([]fserr.Event, 16)
	batch := []byte("0123456789")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if n := testing.AllocsPerRun(100, func() {
		w.Write(batch)
		if _, err := r.Read(ctx, events); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per read", n)
	}
}

func BenchmarkRead(b *testing.B) {
	r, w := channel(b)
	events := make([]fserr.Event, 16)
	batch := []byte("0123456789")
	b.ReportAllocs()
	for b.Loop() {
		w.Write(batch)
		if n, err := r.Read(b.Context(), events); n != len(batch) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}

func BenchmarkClockGettime(b *testing.B) {
	var ts unix.Timespec
	for b.Loop() {
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	}
}
