// SPDX-License-Identifier: MIT

// Package stream reads events from a kernel descriptor in batches: one read(2)
// into a buffer of its own, decoded into the caller's slice, with a deadline,
// a context and nothing allocated on the way. Packages fan and wq add what is
// particular to their channel.
package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
)

// A Decoder decodes the first record of b into e and returns its length. With
// an error it returns how many bytes to skip to the next record, or 0 when
// that cannot be known. It keeps nothing of b but what e points to.
type Decoder func(b []byte, e *fserr.Event) (int, error)

// DefaultSize is the size in bytes of a read buffer that nobody chose: it holds
// the fullest queue of 512 records of the longest kind.
const DefaultSize = 64 << 10

// Config describes a channel.
type Config struct {
	Name     string        // of the channel, for errors: "fanotify group"
	Size     int           // of the read buffer in bytes, 0 for DefaultSize
	TooSmall syscall.Errno // read(2)'s answer when the next record does not fit the buffer
	Decode   Decoder
	Thread   bool // wait on the caller's thread instead of in the runtime's poller
}

// Reader implements fserr.Source over a descriptor.
type Reader struct {
	cfg   Config
	file  *os.File
	raw   syscall.RawConn
	reads atomic.Uint64

	// Read holds mu, so that Close knows when the buffer is free.
	mu      sync.Mutex
	buf     []byte
	rest    []byte // read, not yet decoded
	recv    int64  // when rest was read
	pending error  // a record that could not be decoded, for the next Read

	// The result of the last attempt. They are fields, and the two functions
	// are made once, so that an attempt does not allocate.
	n       int
	err     error
	wait    func(fd uintptr) bool
	once    func(fd uintptr)
	sysRead func(fd int, b []byte) (int, error) // unix.Read; a fake in tests

	limit  limit
	waiter *waiter // nil: the runtime's poller waits
}

// New takes over fd, which must be in non-blocking mode, also when it fails.
func New(fd int, cfg Config) (*Reader, error) {
	if cfg.Size < 0 {
		unix.Close(fd)
		return nil, fmt.Errorf("open %s: read buffer of %d bytes: %w", cfg.Name, cfg.Size, unix.EINVAL)
	}
	if cfg.Size == 0 {
		cfg.Size = DefaultSize
	}
	r := &Reader{cfg: cfg, file: os.NewFile(uintptr(fd), cfg.Name), buf: make([]byte, cfg.Size), sysRead: unix.Read}
	// Fails where the descriptor is not in the runtime's poller: reads would
	// then block a thread, and Close and the deadline would not end them.
	if err := r.file.SetReadDeadline(time.Time{}); err != nil {
		r.file.Close()
		return nil, fmt.Errorf("poll %s: %w", cfg.Name, err)
	}
	var err error
	if r.raw, err = r.file.SyscallConn(); err != nil {
		r.file.Close()
		return nil, err
	}
	r.wait = r.attempt
	r.once = func(fd uintptr) { r.attempt(fd) }
	r.limit.set = r.file.SetReadDeadline
	if cfg.Thread {
		if r.waiter, err = newWaiter(); err != nil {
			r.file.Close()
			return nil, fmt.Errorf("open %s: %w", cfg.Name, err)
		}
		r.limit.set = r.waiter.until
	}
	return r, nil
}

// attempt is one read(2). It reports whether there was an answer; if not, it
// is worth waiting for one.
func (r *Reader) attempt(fd uintptr) bool {
	for {
		r.n, r.err = r.sysRead(int(fd), r.buf)
		if r.err != unix.EINTR {
			return r.err != unix.EAGAIN
		}
	}
}

// Read implements [fserr.Source].
//
// A deadline in the past makes it a poll: what the kernel has at this moment
// is returned, and os.ErrDeadlineExceeded when it has nothing.
func (r *Reader) Read(ctx context.Context, events []fserr.Event) (int, error) {
	if len(events) == 0 {
		return 0, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.pending; err != nil {
		r.pending = nil
		return 0, err
	}
	if len(r.rest) == 0 {
		if err := r.fill(ctx); err != nil {
			return 0, err
		}
	}
	n := 0
	for n < len(events) && len(r.rest) > 0 {
		e := &events[n]
		used, err := r.cfg.Decode(r.rest, e)
		if err != nil {
			if used == 0 {
				used = len(r.rest)
			}
			r.rest = r.rest[used:]
			if n == 0 {
				return 0, err
			}
			r.pending = err
			return n, nil
		}
		r.rest = r.rest[used:]
		e.Recv = r.recv
		n++
	}
	return n, nil
}

// fill reads the next batch.
//
// It always tries read(2) before it waits. That is more than thrift: a
// watch_queue's poll(2) does not announce a loss that is pending, so only a
// reader that goes on until EAGAIN hears of it in time. The runtime's poller
// works in that order (try, then wait for an edge), and the attempt at the
// deadline below keeps to it too.
func (r *Reader) fill(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.limit.follow(ctx)
	var err error
	if r.waiter != nil {
		err = r.waiter.fill(r)
	} else {
		err = r.raw.Read(r.wait)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if cerr := ctx.Err(); cerr != nil {
			return cerr
		}
		err = r.raw.Control(r.once)
		if err == nil && r.err == unix.EAGAIN {
			return os.ErrDeadlineExceeded
		}
	}
	switch {
	case err != nil && errors.As(err, new(*os.SyscallError)):
		return fmt.Errorf("wait for the %s: %w", r.cfg.Name, err)
	case err != nil: // closed: nothing else is left
		return os.ErrClosed
	case r.err == r.cfg.TooSmall:
		return fmt.Errorf("read %s: the next record does not fit the read buffer of %d bytes, raise Config.BufferSize: %w", r.cfg.Name, len(r.buf), r.err)
	case r.err != nil:
		return fmt.Errorf("read %s: %w", r.cfg.Name, r.err)
	case r.n == 0:
		return fmt.Errorf("read %s: %w", r.cfg.Name, io.EOF)
	}
	r.recv = Now()
	r.reads.Add(1)
	r.rest = r.buf[:r.n]
	return nil
}

// Reads returns how many read(2) calls returned data.
func (r *Reader) Reads() uint64 { return r.reads.Load() }

// SetReadDeadline implements [fserr.Source].
func (r *Reader) SetReadDeadline(t time.Time) error { return r.limit.until(t) }

// Do calls f with the descriptor, which stays open while f runs, and wraps what
// f answers; see Explain. It returns os.ErrClosed after Close.
func (r *Reader) Do(op string, f func(fd int) error, remedy map[error]string) error {
	var answer error
	if err := r.raw.Control(func(fd uintptr) { answer = f(int(fd)) }); err != nil {
		return os.ErrClosed
	}
	return Explain(op, answer, remedy)
}

// SyscallConn implements [syscall.Conn].
func (r *Reader) SyscallConn() (syscall.RawConn, error) { return r.raw, nil }

// Fdinfo returns what proc(5) says about the descriptor.
func (r *Reader) Fdinfo() ([]byte, error) {
	var b []byte
	err := r.Do("counters of the "+r.cfg.Name, func(fd int) (err error) {
		b, err = os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
		return err
	}, nil)
	return b, err
}

// Explain wraps an error number with what was tried and, if there is one for
// this number, what to do about it.
func Explain(op string, err error, remedy map[error]string) error {
	if err == nil {
		return nil
	}
	if r, ok := remedy[err]; ok {
		return fmt.Errorf("%s: %w (%s)", op, err, r)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// Close implements [fserr.Source]. It ends a Read that is under way, waits for
// it and hands each event that was read from the kernel but not by the caller
// to drop, which may be nil.
func (r *Reader) Close(drop func(*fserr.Event)) error {
	if r.waiter != nil {
		r.waiter.close()
	}
	if err := r.file.Close(); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return os.ErrClosed
		}
		return fmt.Errorf("close %s: %w", r.cfg.Name, err)
	}
	r.limit.release()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiter != nil {
		r.waiter.wake.Close()
	}
	for drop != nil && len(r.rest) > 0 {
		var e fserr.Event
		n, err := r.cfg.Decode(r.rest, &e)
		if err == nil {
			drop(&e)
		} else if n == 0 {
			break
		}
		r.rest = r.rest[n:]
	}
	r.rest, r.pending = nil, nil
	return nil
}

// limit joins the caller's deadline and the end of a context into the one
// deadline that a file has. A context is registered when it first appears, not
// at every Read.
type limit struct {
	set func(time.Time) error

	mu   sync.Mutex
	user time.Time
	done <-chan struct{} // of the context that is followed
	over bool            // that context has ended
	stop func() bool
	gone bool // the file is closed
}

// past is a deadline that has gone by.
var past = time.Unix(1, 0)

func (l *limit) until(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return os.ErrClosed
	}
	l.user = t
	if l.over {
		return nil
	}
	return l.set(t)
}

// follow makes the end of ctx the end of a Read. Contexts are told apart by
// their Done channel: those that share one end together.
func (l *limit) follow(ctx context.Context) {
	done := ctx.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	if done == l.done || l.gone {
		return
	}
	if l.stop != nil {
		l.stop()
	}
	l.done, l.stop = done, nil
	if l.over {
		l.over = false
		l.set(l.user)
	}
	if done == nil {
		return
	}
	l.stop = context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.done == done {
			l.over = true
			l.set(past)
		}
	})
}

func (l *limit) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
	}
	l.done, l.stop, l.gone = nil, nil, true
}
