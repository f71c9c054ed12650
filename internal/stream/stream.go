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
//
// A decoder with a state may leave e.Kind 0, which is no event: it has taken the
// record in, or, with a length of 0, has no room for more in this batch. And it
// may return an event with a length of 0, before it takes the record.
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
	// Dry, if there is one, is called when the kernel has no more records. It
	// may have an event nevertheless. If not, it is called again at the given
	// time on the clock of Now, or, if that is 0, when there have been records.
	Dry    func(e *fserr.Event) (at int64, ok bool)
	Thread bool // wait on the caller's thread instead of in the runtime's poller
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
	err     error // errDry: dry is an event
	dry     fserr.Event
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
	file, err := newFile(fd, cfg)
	if err != nil {
		return nil, err
	}
	r := &Reader{cfg: cfg, file: file, buf: make([]byte, cfg.Size), sysRead: unix.Read}
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

// newFile makes a file of fd, which it closes when that fails. The runtime's
// poller has it, unless the caller's thread waits: each event would call the
// poller back and, where its thread sleeps, wake that one too.
func newFile(fd int, cfg Config) (*os.File, error) {
	if cfg.Thread { // os.NewFile gives the poller what does not block
		if err := unix.SetNonblock(fd, false); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("open %s: %w", cfg.Name, os.NewSyscallError("fcntl", err))
		}
	}
	file := os.NewFile(uintptr(fd), cfg.Name)
	var err error
	if cfg.Thread {
		err = os.NewSyscallError("fcntl", unix.SetNonblock(fd, true))
	} else {
		// Fails where the descriptor is not in the runtime's poller: reads would
		// then block a thread, and Close and the deadline would not end them.
		err = file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("poll %s: %w", cfg.Name, err)
	}
	return file, nil
}

// attempt is one read(2). It reports whether there was an answer; if not, it
// is worth waiting for one.
func (r *Reader) attempt(fd uintptr) bool {
	for {
		r.n, r.err = r.sysRead(int(fd), r.buf)
		if r.err != unix.EINTR {
			break
		}
	}
	if r.err != unix.EAGAIN {
		return true
	}
	if r.cfg.Dry == nil {
		return false
	}
	at, ok := r.cfg.Dry(&r.dry)
	if ok {
		r.err = errDry
	} else if at != 0 {
		r.limit.hurry(at)
	}
	return ok
}

// errDry stands for an answer of Config.Dry.
var errDry = errors.New("an event, but not of a record")

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
	for {
		if len(r.rest) == 0 {
			if err := r.fill(ctx); err != nil {
				return 0, err
			}
			if r.err == errDry {
				events[0] = r.dry
				events[0].Recv = Now()
				return 1, nil
			}
		}
		n, err := r.decode(events)
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// decode decodes what has been read until there is no more of it or no more room.
func (r *Reader) decode(events []fserr.Event) (int, error) {
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
		if e.Kind != 0 {
			e.Recv = r.recv
			n++
		} else if used == 0 {
			break
		}
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
	err := r.answer(ctx)
	switch {
	case err != nil && (errors.Is(err, os.ErrDeadlineExceeded) || err == ctx.Err()):
		return err
	case err != nil && errors.As(err, new(*os.SyscallError)):
		return fmt.Errorf("wait for the %s: %w", r.cfg.Name, err)
	case err != nil: // closed: nothing else is left
		return os.ErrClosed
	case r.err == errDry:
		return nil
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

// answer waits until an attempt has one.
func (r *Reader) answer(ctx context.Context) error {
	for {
		var err error
		if r.waiter != nil {
			err = r.waiter.fill(r)
		} else {
			err = r.raw.Read(r.wait)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		hurried := r.limit.relax()
		if err := r.raw.Control(r.once); err != nil || r.err != unix.EAGAIN {
			return err
		}
		if !hurried {
			return os.ErrDeadlineExceeded
		}
	}
}

// Woken returns when the last wait of a Read ended, on the clock of Now: 0 for
// never, and for a reader that the runtime's poller wakes. It is the caller's of
// Read to call.
func (r *Reader) Woken() int64 {
	if r.waiter == nil {
		return 0
	}
	return r.waiter.woken
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

// limit joins the caller's deadline, the end of a context and the reader's own
// wish into the one deadline that a file has. A context is registered when it first appears, not
// at every Read.
type limit struct {
	set func(time.Time) error

	mu   sync.Mutex
	user time.Time
	own  int64           // on the clock of Now, 0 is none; changed by the reader alone
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
	return l.apply()
}

// apply sets the earliest of the deadlines.
func (l *limit) apply() error {
	at := l.user
	if l.own != 0 {
		if own := time.Now().Add(time.Duration(l.own - Now())); at.IsZero() || own.Before(at) {
			at = own
		}
	}
	if l.over {
		at = past
	}
	return l.set(at)
}

// hurry makes the next wait end at the given time.
func (l *limit) hurry(at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own != at && !l.gone {
		l.own = at
		_ = l.apply()
	}
}

// relax undoes hurry. It reports whether that time has come.
func (l *limit) relax() bool {
	if l.own == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	due := Now() >= l.own
	l.own = 0
	if !l.gone {
		_ = l.apply()
	}
	return due
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
		_ = l.apply()
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
