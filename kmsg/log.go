// SPDX-License-Identifier: MIT

package kmsg

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/stream"
)

// Config describes a reader of the log. Its zero value is a sensible one.
type Config struct {
	// Thread makes Read wait in ppoll(2) on the thread that calls it, not in
	// the Go runtime's poller: no other scheduler than the kernel's between
	// the line and its reader, for a thread that does nothing else. Call
	// runtime.LockOSThread before.
	Thread bool
}

// Log is the kernel's log, open. It implements [fserr.Source].
type Log struct {
	r    *stream.Reader
	next uint64 // number of the next line
}

var _ fserr.Source = (*Log)(nil)

// Open opens /dev/kmsg behind its last line. Where kernel.dmesg_restrict is set
// it needs CAP_SYSLOG.
func Open(cfg Config) (*Log, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, stream.Explain("open /dev/kmsg", err, map[error]string{
			unix.EPERM:  "needs CAP_SYSLOG, or kernel.dmesg_restrict=0 and not printk.devkmsg=off",
			unix.EACCES: "needs read permission on the file",
			unix.ENOENT: "the kernel is built without CONFIG_PRINTK",
		})
	}
	l := &Log{}
	if l.next, err = skip(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	l.r, err = stream.New(fd, stream.Config{Name: "kernel log", Size: maxRecord, TooSmall: unix.EINVAL, Decode: l.decode, Thread: cfg.Thread})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// skip reads what is in the log and returns the number of the line that comes
// next. Seeking to the end would be quicker, but hide what is lost before the
// first line.
func skip(fd int) (next uint64, err error) {
	buf := make([]byte, maxRecord)
	for {
		n, err := unix.Read(fd, buf)
		switch err {
		case nil:
		case unix.EAGAIN:
			return next, nil
		case unix.EPIPE, unix.EINTR:
			continue
		default:
			return 0, os.NewSyscallError("read /dev/kmsg", err)
		}
		line, _, err := Parse(buf[:n])
		if err != nil {
			return 0, err
		}
		next = line.Seq + 1
	}
}

// decode is Decode, with a Lost in front of a line that does not follow the last
// one.
func (l *Log) decode(b []byte, e *fserr.Event) (int, error) {
	line, n, err := Parse(b)
	if err != nil {
		return n, err
	}
	if line.Seq > l.next {
		*e = fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: line.Seq - l.next}
		l.next = line.Seq
		return 0, nil
	}
	l.next = line.Seq + 1
	return Decode(b, e)
}

// Read implements [fserr.Source]. It returns one line at a time, as the kernel
// does. The bytes of a Record are valid until the next Read.
//
// A deadline in the past makes Read a poll: it returns what is there at this
// moment, or os.ErrDeadlineExceeded.
//
// Lost has two causes: lines were overwritten before they were read, so raise
// log_buf_len; then it is a count of lines, whatever they said, and has no
// Record. Or their author limits their rate; then the Record is the line that
// says so.
func (l *Log) Read(ctx context.Context, events []fserr.Event) (int, error) {
	for {
		// EPIPE says that the next line is not the one behind the last: its
		// number says by how much.
		if n, err := l.r.Read(ctx, events); !errors.Is(err, unix.EPIPE) {
			return n, err
		}
	}
}

// Next returns the number of the line that Read returns next, if none is lost.
// After Open that is the one that the kernel will give to its next line.
func (l *Log) Next() uint64 { return l.next }

// Woken returns when the last wait of a Read ended, CLOCK_MONOTONIC ns, with
// Config.Thread; 0 if it did not wait.
func (l *Log) Woken() int64 { return l.r.Woken() }

// SetReadDeadline implements [fserr.Source].
func (l *Log) SetReadDeadline(t time.Time) error { return l.r.SetReadDeadline(t) }

// Reads returns how many read(2) calls returned data.
func (l *Log) Reads() uint64 { return l.r.Reads() }

// Close implements [fserr.Source].
func (l *Log) Close() error { return l.r.Close(nil) }
