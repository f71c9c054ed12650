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
// kernel/watch_queue.c). With the series the bound is
// fs.watch_queue_max_notes.
const MaxNotes = 512

// Unsized leaves a queue without notes. All that is posted to it is lost: this
// is how it behaves between pipe2(2) and IOC_WATCH_QUEUE_SET_SIZE. Mainline
// signals nothing then.
const Unsized = -1

// Config describes a queue. Its zero value is a sensible queue.
type Config struct {
	// Notes is how many records the queue holds, 0 for MaxNotes. The kernel
	// rounds it up to whole pages of 32.
	Notes int
	// LossCount asks for losses that have a count, one for each watch, and
	// are told at once, ahead of older records (WATCH_QUEUE_LOSS_COUNT).
	LossCount bool
	// ChainWhole asks that a record which takes several notes is either
	// posted whole or lost as one error (WATCH_QUEUE_CHAIN_WHOLE). Otherwise
	// each part may be lost on its own.
	ChainWhole bool
	// BufferSize is the size of the read buffer in bytes, 0 for 64 KiB, which
	// a full queue of MaxNotes fits. A record takes up to 127 bytes.
	BufferSize int
	// Thread makes Read wait in ppoll(2) on the thread that calls it, not in
	// the Go runtime's poller, which is not told of the descriptor then: no
	// other scheduler than the kernel's between the event and its reader, for
	// a thread that does nothing else. Call runtime.LockOSThread before.
	Thread bool
}

// Queue is a notification pipe. It implements [fserr.Source].
type Queue struct {
	r      *stream.Reader
	chains chains
	write  *os.File // without a writer the pipe would be at its end
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
	q := &Queue{write: write}
	r, err := stream.New(fds[0], stream.Config{
		Name:     "watch queue",
		Size:     cfg.BufferSize,
		TooSmall: unix.ENOBUFS,
		Decode:   q.chains.decode,
		Dry:      q.chains.dry,
		Thread:   cfg.Thread,
	})
	if err != nil {
		write.Close()
		return nil, err
	}
	q.r = r
	if err = q.setSize(cfg.Notes); err == nil {
		err = q.setOptions(cfg)
	}
	if err != nil {
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
		unix.EINVAL: fmt.Sprintf("mainline takes 1 to %d, the series up to fs.watch_queue_max_notes", MaxNotes),
		unix.EPERM:  "raise fs.pipe-max-size, fs.pipe-user-pages-soft and fs.pipe-user-pages-hard, or use CAP_SYS_RESOURCE",
	})
}

// setOptions is IOC_WATCH_QUEUE_SET_OPTIONS.
func (q *Queue) setOptions(cfg Config) error {
	var o queueOptions
	if cfg.LossCount {
		o.flags |= lossCount
	}
	if cfg.ChainWhole {
		o.flags |= chainWhole
	}
	if o.flags == 0 {
		return nil
	}
	patch := patchLossCount
	if cfg.ChainWhole {
		patch = patchChains
	}
	return q.seriesIoctl("IOC_WATCH_QUEUE_SET_OPTIONS", iocSetOptions, unsafe.Pointer(&o), patch, nil)
}

// seriesIoctl is an ioctl of the pipe that a patch of the series adds.
func (q *Queue) seriesIoctl(op string, request uintptr, arg unsafe.Pointer, patch string, remedy map[error]string) error {
	return q.r.Do(op, func(fd int) error {
		return unsupported(ioctl(fd, request, arg), patch)
	}, remedy)
}

// unsupported says which patch adds the ioctl that the kernel does not know.
func unsupported(err error, patch string) error {
	if err == unix.ENOTTY {
		return fmt.Errorf("%w: %w (the kernel lacks the patch %q)", errors.ErrUnsupported, err, patch)
	}
	return err
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

// flags returns the FS_ERROR_WATCH_* that the point means.
func (p Point) flags(path string) (uint32, error) {
	switch p {
	case Direct:
		return 0, nil
	case Deferred:
		return fsErrorWatchDeferred, nil
	}
	return 0, fmt.Errorf("watch %s: %v: %w", path, p, unix.EINVAL)
}

// Watch adds the errors of the filesystem that path is on. Its events carry id
// as Watch. It opens path to read for the length of the call and needs
// CAP_SYS_ADMIN in the filesystem's user namespace.
//
// Mainline has no such source. On a kernel without the project's series the
// error wraps [errors.ErrUnsupported].
func (q *Queue) Watch(path string, id uint8, at Point) error {
	flags, err := at.flags(path)
	if err != nil {
		return err
	}
	return q.watchPath("watch errors of "+path, path, fsErrorWatch{watchID: int32(id), flags: flags})
}

// WatchLocation is Watch, but its events also say where in the kernel the error
// was noticed ([fserr.HasLocation]). It needs CAP_SYS_ADMIN in the initial user
// namespace and the right to see addresses in /proc/kallsyms.
func (q *Queue) WatchLocation(path string, id uint8, at Point) error {
	flags, err := at.flags(path)
	if err != nil {
		return err
	}
	return q.watchPath("watch errors of "+path, path, fsErrorWatch{watchID: int32(id), flags: flags | fsErrorWatchLocation})
}

// Unwatch undoes Watch and WatchLocation. A Removed event follows what is queued
// already.
func (q *Queue) Unwatch(path string) error {
	return q.watchPath("unwatch errors of "+path, path, fsErrorWatch{watchID: -1})
}

// WatchFile adds the errors of one file, which must be open for reading or
// writing, and no others. It needs no privilege. The events carry id as Watch and
// numbers of their own as Seq; they never have a Record, which may tell of other
// files. The watch does not hold the file: a Removed event ends it when the
// kernel forgets the inode, which it cannot while the file is open.
func (q *Queue) WatchFile(file *os.File, id uint8) error {
	return q.watchFile("watch errors of the file "+file.Name(), file, fsErrorWatch{watchID: int32(id), flags: fsErrorWatchFile})
}

// UnwatchFile undoes WatchFile. A Removed event follows what is queued already.
func (q *Queue) UnwatchFile(file *os.File) error {
	return q.watchFile("unwatch errors of the file "+file.Name(), file, fsErrorWatch{watchID: -1, flags: fsErrorWatchFile})
}

// Patches of the series that a kernel may lack.
const (
	patchSource    = "fserror: notify pipes of filesystem errors"
	patchCounters  = "watch_queue: count what each watch posts, filters and loses"
	patchLossCount = "watch_queue: tell how much has been lost, and by whom, at once"
	patchFSFilter  = "watch_queue: filter filesystem errors by what they are about"
	patchReserve   = "watch_queue: let slots be reserved for some notifications"
	patchChains    = "watch_queue: post notifications that are longer than a note"
)

// watchPath is FS_IOC_WATCH_ERRORS on a file that is opened for it.
func (q *Queue) watchPath(op, path string, w fsErrorWatch) error {
	return q.r.Do(op, func(fd int) error {
		// O_NONBLOCK: opening a FIFO must not wait for its other end.
		file, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("open", err)
		}
		defer unix.Close(file)
		return watchErrors(fd, file, w)
	}, map[error]string{
		unix.EPERM:   "needs CAP_SYS_ADMIN in the filesystem's user namespace, for the location in the initial one, and kernel.kptr_restrict below 2",
		unix.EINVAL:  "the kernel's own filesystems cannot be watched",
		unix.EBUSY:   "this queue watches this filesystem already",
		unix.EBADSLT: "this queue does not watch this filesystem",
		unix.EAGAIN:  tooManyWatches,
	})
}

// watchFile is FS_IOC_WATCH_ERRORS on an open file.
func (q *Queue) watchFile(op string, file *os.File, w fsErrorWatch) error {
	return q.r.Do(op, func(fd int) error {
		raw, err := file.SyscallConn()
		if err != nil {
			return err
		}
		var answer error
		if err := raw.Control(func(file uintptr) { answer = watchErrors(fd, int(file), w) }); err != nil {
			return err
		}
		return answer
	}, map[error]string{
		unix.EBADF:   "open the file for reading or writing, not with O_PATH",
		unix.EINVAL:  "files of the kernel's own filesystems cannot be watched, and no single file on a kernel without the patch \"fserror: let a pipe watch the errors of a single file\"",
		unix.EBUSY:   "this queue watches this file already",
		unix.EBADSLT: "this queue does not watch this file",
		unix.EAGAIN:  tooManyWatches,
	})
}

const tooManyWatches = "raise RLIMIT_NOFILE, which bounds a user's watches too"

func watchErrors(queue, file int, w fsErrorWatch) error {
	w.queueFD = int32(queue)
	return unsupported(ioctl(file, fsIocWatchErrors, unsafe.Pointer(&w)), patchSource)
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
		unix.EAGAIN:     tooManyWatches,
	})
}

// Read implements [fserr.Source]. The bytes of a Record are valid until the
// next Read.
//
// A deadline in the past makes Read a poll: it returns what is queued at this
// moment, or os.ErrDeadlineExceeded.
//
// Lost says that the queue was full, see Config.Notes. With Config.LossCount it
// comes first and has a count. Otherwise it has none and stands behind the last
// record that went in before, and mainline's poll(2) does not announce one that
// nothing follows. Read finds it all the same, because it asks read(2) until that
// answers EAGAIN before it waits.
//
// A filesystem's own record that takes several notes is put together: the event
// comes when all of it has been read. If parts are missing, it has
// [fserr.HasBroken], or is a [fserr.Fragment] if the error itself is. That the
// last parts are missing shows when the queue has been empty for some time after
// a loss. No more than 64 records are put together at a time; the oldest is given
// up for another. Give each watch an id of its own.
func (q *Queue) Read(ctx context.Context, events []fserr.Event) (int, error) {
	q.chains.release()
	return q.r.Read(ctx, events)
}

// SetReadDeadline implements [fserr.Source].
func (q *Queue) SetReadDeadline(t time.Time) error { return q.r.SetReadDeadline(t) }

// SyscallConn implements [syscall.Conn] for what the package does not do with
// the descriptor of the pipe's reading end: poll(2), FIONREAD. Do not read from it.
func (q *Queue) SyscallConn() (syscall.RawConn, error) { return q.r.SyscallConn() }

// Woken returns when the last wait of a Read ended, CLOCK_MONOTONIC ns, with
// Config.Thread only. It is for the thread that calls Read.
func (q *Queue) Woken() int64 { return q.r.Woken() }

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
