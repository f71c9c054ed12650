// SPDX-License-Identifier: MIT

package wq

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/stream"
)

// MaxNotes is the longest queue that mainline makes (watch_queue_set_size,
// kernel/watch_queue.c).
const MaxNotes = 512

// Unsized leaves a queue without notes. All that is posted to it is lost, and
// the kernel signals nothing: this is how it behaves between pipe2(2) and
// IOC_WATCH_QUEUE_SET_SIZE.
const Unsized = -1

// Config describes a queue. Its zero value is a sensible queue.
type Config struct {
	// Notes is how many records the queue holds, 0 for MaxNotes. The kernel
	// rounds it up to whole pages of 32.
	Notes int
	// BufferSize is the size of the read buffer in bytes, 0 for 64 KiB, which
	// a full queue of MaxNotes fits. A record takes up to 127 bytes.
	BufferSize int
	// Thread makes Read wait in ppoll(2) on the thread that calls it, not in
	// the Go runtime's poller: no other scheduler than the kernel's between
	// the event and its reader, for a thread that does nothing else. Call
	// runtime.LockOSThread before.
	Thread bool
}

// Queue is a notification pipe. It implements [fserr.Source].
type Queue struct {
	r     *stream.Reader
	write *os.File // without a writer the pipe would be at its end
}

var _ fserr.Source = (*Queue)(nil)

// Open makes a queue (pipe2(2) with O_NOTIFICATION_PIPE) that watches nothing
// yet. On a kernel without CONFIG_WATCH_QUEUE the error wraps
// [errors.ErrUnsupported].
func Open(cfg Config) (*Queue, error) {
	var fds [2]int
	switch err := unix.Pipe2(fds[:], oNotificationPipe|unix.O_CLOEXEC|unix.O_NONBLOCK); err {
	case nil:
	case unix.ENOPKG, unix.EINVAL:
		return nil, fmt.Errorf("pipe2 O_NOTIFICATION_PIPE: %w: %w (needs Linux 5.8 or later, built with CONFIG_WATCH_QUEUE)", errors.ErrUnsupported, err)
	default:
		return nil, os.NewSyscallError("pipe2 O_NOTIFICATION_PIPE", err)
	}
	write := os.NewFile(uintptr(fds[1]), "watch queue")
	r, err := stream.New(fds[0], stream.Config{
		Name:     "watch queue",
		Size:     cfg.BufferSize,
		TooSmall: unix.ENOBUFS,
		Decode:   Decode,
		Thread:   cfg.Thread,
	})
	if err != nil {
		write.Close()
		return nil, err
	}
	q := &Queue{r: r, write: write}
	if err := q.setSize(cfg.Notes); err != nil {
		q.Close()
		return nil, err
	}
	return q, nil
}

func (q *Queue) setSize(notes int) error {
	switch notes {
	case Unsized:
		return nil
	case 0:
		notes = MaxNotes
	}
	return q.r.Do(fmt.Sprintf("IOC_WATCH_QUEUE_SET_SIZE %d", notes), func(fd int) error {
		return unix.IoctlSetInt(fd, iocSetSize, notes)
	}, map[error]string{
		unix.EINVAL: fmt.Sprintf("mainline takes 1 to %d", MaxNotes),
		unix.EPERM:  "raise fs.pipe-user-pages-soft and fs.pipe-user-pages-hard, or use CAP_SYS_RESOURCE",
	})
}

// Point is where the kernel posts an error to a queue.
type Point uint8

const (
	// Direct posts in fserror_report, where the error happens.
	Direct Point = iota
	// Deferred posts in fserror's worker, where fanotify is told too.
	Deferred
)

// String returns the point in lower case.
func (p Point) String() string {
	switch p {
	case Direct:
		return "direct"
	case Deferred:
		return "deferred"
	}
	return fmt.Sprintf("point %d", uint8(p))
}

// Watch adds the errors of the filesystem that path is on. Its events carry id
// as Watch. It opens path to read for the length of the call and needs
// CAP_SYS_ADMIN in the filesystem's user namespace.
//
// Mainline has no such source. On a kernel without the project's series the
// error wraps [errors.ErrUnsupported].
func (q *Queue) Watch(path string, id uint8, at Point) error {
	var flags uint32
	switch at {
	case Direct:
	case Deferred:
		flags = fsErrorWatchDeferred
	default:
		return fmt.Errorf("watch %s: %v: %w", path, at, unix.EINVAL)
	}
	return q.watchErrors("watch errors of "+path, path, fsErrorWatch{watchID: int32(id), flags: flags})
}

// Unwatch undoes Watch. A Removed event follows what is queued already.
func (q *Queue) Unwatch(path string) error {
	return q.watchErrors("unwatch errors of "+path, path, fsErrorWatch{watchID: -1})
}

// Patches of the series that a kernel may lack.
const (
	patchSource   = "fserror: notify pipes of filesystem errors"
	patchCounters = "watch_queue: count what each watch posts, filters and loses"
)

// watchErrors is FS_IOC_WATCH_ERRORS.
func (q *Queue) watchErrors(op, path string, w fsErrorWatch) error {
	return q.r.Do(op, func(fd int) error {
		// O_NONBLOCK: opening a FIFO must not wait for its other end.
		file, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("open", err)
		}
		defer unix.Close(file)
		w.queueFD = int32(fd)
		err = ioctl(file, fsIocWatchErrors, unsafe.Pointer(&w))
		if err == unix.ENOTTY {
			return fmt.Errorf("%w: %w (the kernel lacks the patch %q)", errors.ErrUnsupported, err, patchSource)
		}
		return err
	}, map[error]string{
		unix.EPERM:   "needs CAP_SYS_ADMIN in the filesystem's user namespace",
		unix.EINVAL:  "the kernel's own filesystems cannot be watched",
		unix.EBUSY:   "this queue watches this filesystem already",
		unix.EBADSLT: "this queue does not watch this filesystem",
		unix.EAGAIN:  "raise RLIMIT_NOFILE, which bounds a user's watches too",
	})
}

// WatchKey adds the changes of a key or keyring (keyctl(2) KEYCTL_WATCH_KEY):
// key is a serial number or one of unix.KEY_SPEC_*. They arrive as events of
// kind Other with id as Watch; see [DecodeKey]. On a kernel without
// CONFIG_KEY_NOTIFICATIONS the error wraps [errors.ErrUnsupported].
func (q *Queue) WatchKey(key int, id uint8) error {
	return q.watchKey("watch key", key, int(id))
}

// UnwatchKey undoes WatchKey. A Removed event follows what is queued already.
func (q *Queue) UnwatchKey(key int) error {
	return q.watchKey("unwatch key", key, -1)
}

func (q *Queue) watchKey(op string, key, id int) error {
	return q.r.Do(fmt.Sprintf("%s %d", op, key), func(fd int) error {
		_, err := unix.KeyctlInt(unix.KEYCTL_WATCH_KEY, key, fd, id, 0)
		return err
	}, map[error]string{
		unix.EOPNOTSUPP: "the kernel is built without CONFIG_KEY_NOTIFICATIONS",
		unix.ENOSYS:     "the kernel is built without CONFIG_KEYS",
		unix.EACCES:     "needs the view permission on the key",
		unix.ENOKEY:     "no such key",
		unix.EBUSY:      "this queue watches this key already",
		unix.EBADSLT:    "this queue does not watch this key",
		unix.EAGAIN:     "raise RLIMIT_NOFILE, which bounds a user's watches too",
	})
}

// Read implements [fserr.Source]. The bytes of a Record are valid until the
// next Read.
//
// A deadline in the past makes Read a poll: it returns what is queued at this
// moment, or os.ErrDeadlineExceeded.
//
// Lost says that the queue was full, see Config.Notes, and stands behind the
// last record that went in before. Mainline does not count what is lost, and
// poll(2) does not announce a loss that nothing follows. Read finds it all the
// same, because it asks read(2) until that answers EAGAIN before it waits.
func (q *Queue) Read(ctx context.Context, events []fserr.Event) (int, error) {
	return q.r.Read(ctx, events)
}

// SetReadDeadline implements [fserr.Source].
func (q *Queue) SetReadDeadline(t time.Time) error { return q.r.SetReadDeadline(t) }

// SyscallConn implements [syscall.Conn] for what the package does not do with
// the descriptor of the pipe's reading end: poll(2), FIONREAD. Do not read from it.
func (q *Queue) SyscallConn() (syscall.RawConn, error) { return q.r.SyscallConn() }

// Reads returns how many read(2) calls returned data.
func (q *Queue) Reads() uint64 { return q.r.Reads() }

// Close implements [fserr.Source]. It takes all watches away.
func (q *Queue) Close() error {
	err := q.r.Close(nil)
	if err == os.ErrClosed {
		return err
	}
	return errors.Join(err, q.write.Close())
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
