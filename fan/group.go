// SPDX-License-Identifier: MIT

package fan

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/stream"
)

// Config describes a group. Its zero value is a sensible group.
type Config struct {
	// PIDFD asks for a descriptor of the reporting process with each event
	// (FAN_REPORT_PIDFD). Since Linux 7.0 that is a kernel worker.
	PIDFD bool
	// Unlimited lifts the limit of fs.fanotify.max_queued_events off the
	// group (FAN_UNLIMITED_QUEUE, which needs CAP_SYS_ADMIN).
	Unlimited bool
	// BufferSize is the size of the read buffer in bytes, 0 for 64 KiB. An
	// event of a filesystem error takes up to 200 bytes.
	BufferSize int
	// Thread makes Read wait in ppoll(2) on the thread that calls it, not in
	// the Go runtime's poller: no other scheduler than the kernel's between
	// the event and its reader, for a thread that does nothing else. Call
	// runtime.LockOSThread before.
	Thread bool
}

// Group is a fanotify group that reports filesystem errors. It implements
// [fserr.Source].
type Group struct {
	r *stream.Reader
}

var _ fserr.Source = (*Group)(nil)

// Open makes a group (fanotify_init(2)) that watches nothing yet. It takes
// CAP_SYS_ADMIN only if Watch or Config.Unlimited is used.
func Open(cfg Config) (*Group, error) {
	flags := uint(unix.FAN_CLASS_NOTIF | unix.FAN_REPORT_FID | unix.FAN_CLOEXEC | unix.FAN_NONBLOCK)
	if cfg.PIDFD {
		flags |= unix.FAN_REPORT_PIDFD
	}
	if cfg.Unlimited {
		flags |= unix.FAN_UNLIMITED_QUEUE
	}
	fd, err := unix.FanotifyInit(flags, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_LARGEFILE)
	if err != nil {
		return nil, stream.Explain("fanotify_init", err, map[error]string{
			unix.ENOSYS: "the kernel is built without CONFIG_FANOTIFY",
			unix.EPERM:  "needs CAP_SYS_ADMIN",
			unix.EINVAL: "needs Linux 5.1, with Config.PIDFD 5.15",
			unix.EMFILE: "raise RLIMIT_NOFILE or fs.fanotify.max_user_groups",
		})
	}
	r, err := stream.New(fd, stream.Config{
		Name:     "fanotify group",
		Size:     cfg.BufferSize,
		TooSmall: unix.EINVAL,
		Decode:   Decode,
		Thread:   cfg.Thread,
	})
	if err != nil {
		return nil, err
	}
	return &Group{r: r}, nil
}

// Watch adds the errors of the filesystem that path is on (FAN_FS_ERROR on a
// FAN_MARK_FILESYSTEM). It needs CAP_SYS_ADMIN.
func (g *Group) Watch(path string) error {
	return g.mark(unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, unix.FAN_FS_ERROR, path)
}

// Unwatch undoes Watch. Errors that are queued already can still be read.
func (g *Group) Unwatch(path string) error {
	return g.mark(unix.FAN_MARK_REMOVE|unix.FAN_MARK_FILESYSTEM, unix.FAN_FS_ERROR, path)
}

// WatchOther adds further events of the file or folder path to the group: mask
// is a set of FAN_* bits, for example unix.FAN_OPEN|unix.FAN_EVENT_ON_CHILD.
// They arrive as events of kind Other and share the group's queue.
func (g *Group) WatchOther(path string, mask uint64) error {
	return g.mark(unix.FAN_MARK_ADD, mask, path)
}

func (g *Group) mark(flags uint, mask uint64, path string) error {
	return g.r.Do("fanotify_mark "+path, func(fd int) error {
		return unix.FanotifyMark(fd, flags, mask, unix.AT_FDCWD, path)
	}, map[error]string{
		unix.EPERM:      "needs CAP_SYS_ADMIN",
		unix.EINVAL:     "the kernel does not know these events, or not for this kind of mark; FAN_FS_ERROR needs Linux 5.16",
		unix.ENODEV:     "the filesystem has no fsid",
		unix.EOPNOTSUPP: "the filesystem cannot make file handles",
		unix.EXDEV:      "the filesystem has more than one fsid, as a btrfs subvolume",
		unix.ENOENT:     "no such path, or not watched",
		unix.ENOSPC:     "raise fs.fanotify.max_user_marks",
	})
}

// Read implements [fserr.Source]. The bytes of a Handle or a Record are valid
// until the next Read.
//
// A PIDFD belongs to the caller. A deadline in the past makes Read a poll: it
// returns what is queued at this moment, or os.ErrDeadlineExceeded.
//
// Lost has one cause here: the group's queue was full. It is as long as
// fs.fanotify.max_queued_events was at Open; Config.Unlimited lifts that.
func (g *Group) Read(ctx context.Context, events []fserr.Event) (int, error) {
	return g.r.Read(ctx, events)
}

// SetReadDeadline implements [fserr.Source].
func (g *Group) SetReadDeadline(t time.Time) error { return g.r.SetReadDeadline(t) }

// SyscallConn implements [syscall.Conn] for what the package does not do with
// the descriptor of the group: poll(2), FIONREAD. Do not read from it.
func (g *Group) SyscallConn() (syscall.RawConn, error) { return g.r.SyscallConn() }

// Reads returns how many read(2) calls returned data.
func (g *Group) Reads() uint64 { return g.r.Reads() }

// Close implements [fserr.Source]. It also closes the process descriptors of
// events that were read from the kernel but not by the caller.
func (g *Group) Close() error {
	return g.r.Close(func(e *fserr.Event) {
		if e.Is(fserr.HasPIDFD) {
			unix.Close(int(e.PIDFD))
		}
	})
}
