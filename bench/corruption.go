// SPDX-License-Identifier: MIT

package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
	"wqfan/fserr"
)

// Serial numbers of the disks that the corruption scenario takes, and the
// names inside the ext4 image that its maker breaks.
const (
	BrokenExt4  = "broken-ext4" // ext4 with BadDir's block and BadFile's mode destroyed
	SpareXFS    = "spare-xfs"   // a clean XFS, mounted through device-mapper
	BadDir      = "baddir"
	BadFile     = "badinode"
	goodContent = "this block will be unreadable"
)

// fault is one real error: how to meet it and what must be reported.
type fault struct {
	name    string
	ino     uint64
	errno   fserr.Errno
	class   fserr.Class
	pos     int64 // with HasRange, -1 for none
	unread  bool  // the inode is what could not be read: only the filesystem's own record, if there is one, names it
	provoke func() error
}

// corruption meets real errors with all arms open side by side, so that all of
// them are told of the very same faults. What is injected is the number of
// faults: each of them must come out of each arm as exactly one record, with
// the right inode and errno.
func corruption(ctx context.Context, cells []scenario.Cell) ([]result.Cell, error) {
	out := make([]result.Cell, len(cells))
	for i, c := range cells {
		out[i] = describe(c)
		out[i].Params.Schedule, out[i].Params.Scope, out[i].Params.Class, out[i].Params.Errno = "real", "inode", "", ""
	}
	err := corrupted(ctx, cells, out)
	if err != nil {
		for i := range out {
			if out[i].Err == "" {
				out[i].Err = err.Error()
			}
		}
	}
	for _, c := range out {
		if c.Err != "" {
			return out, fmt.Errorf("%s: %s", c.ID, c.Err)
		}
	}
	return out, nil
}

func corrupted(ctx context.Context, cells []scenario.Cell, out []result.Cell) error {
	dir, err := os.MkdirTemp("", "corrupt-")
	if err != nil {
		return err
	}
	prepare := brokenExt4
	if cells[0].FS == "xfs" {
		prepare = failingXFS
	}
	broken, err := prepare(dir)
	if err != nil {
		return err
	}
	defer broken.cleanup()

	readers := make([]*reader, len(cells))
	for i, c := range cells {
		ch, err := openChannel(c, []string{dir}, nil)
		if err != nil {
			return err
		}
		defer ch.Close()
		ch.sequenced = false // Pos is a real position here
		readers[i] = newReader(ch, c)
	}
	for _, f := range broken.faults {
		if err := f.provoke(); err == nil {
			return fmt.Errorf("%s: the filesystem noticed nothing", f.name)
		}
		for i, r := range readers {
			got, err := r.drain(ctx)
			if err != nil {
				return err
			}
			for _, e := range got {
				out[i].Events = append(out[i].Events, e.String())
			}
			if err := f.check(got); err != nil {
				out[i].Err = strings.TrimPrefix(out[i].Err+"; "+err.Error(), "; ")
			}
		}
	}
	n := uint64(len(broken.faults))
	if broken.count != nil {
		// The filesystem keeps a count of its own, apart from any channel.
		own, err := broken.count()
		if err != nil {
			return fmt.Errorf("read the filesystem's own count of errors: %w", err)
		}
		if own != n {
			return fmt.Errorf("%d faults were met, the filesystem counts %d errors", n, own)
		}
	}
	for i, r := range readers {
		out[i].Params.Errors, out[i].Flood.Attempted = n, n
		if err := r.account(flood.Report{}, flood.Report{Attempted: n}, nil, &out[i]); err != nil && out[i].Err == "" {
			out[i].Err = err.Error()
		}
	}
	return nil
}

// drain reads what the channel holds now. The events' handles are copied: they
// outlive the next read.
func (r *reader) drain(ctx context.Context) ([]fserr.Event, error) {
	var all []fserr.Event
	events := make([]fserr.Event, batch)
	for {
		if err := r.ch.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			return all, err
		}
		n, err := r.ch.Read(ctx, events)
		r.ledger.Observe(events[:n], r.ch.sequenced)
		for _, e := range events[:n] {
			e.Handle.Bytes = append([]byte(nil), e.Handle.Bytes...)
			all = append(all, e)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

// check wants exactly one event, about this fault. Only what a channel reports
// can be wrong.
func (f fault) check(events []fserr.Event) error {
	if len(events) != 1 {
		return fmt.Errorf("%s: %d events instead of one: %v", f.name, len(events), events)
	}
	switch e := events[0]; {
	case e.Kind != fserr.Error, e.Errors() != 1,
		!e.Is(fserr.HasErrno) || e.Errno != f.errno,
		!f.names(e),
		e.Is(fserr.HasClass) && e.Class != f.class,
		e.Is(fserr.HasRange) && e.Pos != f.pos:
		return fmt.Errorf("%s: the event does not name inode %d and %v: %v", f.name, f.ino, f.errno, e)
	}
	return nil
}

// names says whether an event is about the fault's inode, as far as that can be
// told.
func (f fault) names(e fserr.Event) bool {
	if !f.unread {
		return e.Is(fserr.HasInode) && e.Ino == f.ino
	}
	if !e.Is(fserr.HasRecord) {
		return !e.Is(fserr.HasInode)
	}
	r, err := fserr.DecodeXFS(e.Record)
	return err == nil && r.Group == fserr.XFSInode && r.Ino == f.ino
}

// brokenFS is a mounted filesystem with faults to be met.
type brokenFS struct {
	faults  []fault
	count   func() (uint64, error) // errors since the mount, by the filesystem's own count; nil: it has none
	cleanup func()
}

// brokenExt4 mounts the ext4 image that was corrupted on the host.
func brokenExt4(dir string) (*brokenFS, error) {
	dev, err := blockDevice(BrokenExt4)
	if err != nil {
		return nil, err
	}
	if err := unix.Mount(dev, dir, "ext4", 0, "errors=continue"); err != nil {
		return nil, fmt.Errorf("mount the corrupted ext4 %s: %w", dev, err)
	}
	cleanup := func() { _ = unix.Unmount(dir, 0) }
	inodes, err := readDir(dir)
	if err != nil {
		cleanup()
		return nil, err
	}
	for _, name := range []string{BadDir, BadFile} {
		if inodes[name] == 0 {
			cleanup()
			return nil, fmt.Errorf("the corrupted ext4 %s holds no %s", dev, name)
		}
	}
	return &brokenFS{
		faults: []fault{{
			name: "a directory block with garbage in it", ino: inodes[BadDir], errno: fserr.EFSBADCRC, class: fserr.Metadata, pos: -1,
			provoke: func() error { _, err := os.Stat(filepath.Join(dir, BadDir, "x")); return ignoreNotExist(err) },
		}, {
			name: "an inode with an impossible mode", ino: inodes[BadFile], errno: fserr.EFSCORRUPTED, class: fserr.Metadata, pos: -1,
			provoke: func() error { _, err := os.Stat(filepath.Join(dir, BadFile)); return ignoreNotExist(err) },
		}},
		count:   func() (uint64, error) { return ext4Errors(dev) },
		cleanup: cleanup,
	}, nil
}

func ignoreNotExist(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// failingXFS mounts XFS on device-mapper, with a file whose inode has garbage in
// it and another whose second block the device cannot read.
func failingXFS(dir string) (_ *brokenFS, err error) {
	dev, err := blockDevice(SpareXFS)
	if err != nil {
		return nil, err
	}
	dm, err := flood.Map("wqfan-failing", dev)
	if err != nil {
		return nil, err
	}
	sick, err := sickInode(dm.Path, dir)
	if err != nil {
		_ = dm.Remove()
		return nil, err
	}
	cleanup := func() {
		_ = dm.Load(flood.Segment{Sectors: dm.Sectors()})
		_ = unix.Unmount(dir, 0)
		_ = dm.Remove()
	}
	defer func() {
		if err != nil {
			cleanup()
		}
	}()
	const block = 4096
	name := filepath.Join(dir, "victim")
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Write(append([]byte(goodContent), make([]byte, 16*block)...)); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	at, length, err := flood.FirstExtent(f)
	if err != nil {
		return nil, err
	}
	if length < 2*block {
		return nil, fmt.Errorf("the first extent of %s has only %d bytes", name, length)
	}
	inodes, err := inodesOf([]*os.File{f})
	if err != nil {
		return nil, err
	}
	bad := at/512 + block/512
	if err := dm.Load(flood.Segment{Sectors: bad}, flood.Segment{Sectors: block / 512, Fails: true},
		flood.Segment{Sectors: dm.Sectors() - bad - block/512}); err != nil {
		return nil, err
	}
	return &brokenFS{faults: []fault{*sick, {
		name: "a direct read of a block that the device cannot read", ino: inodes[0], errno: fserr.Errno(unix.EIO), class: fserr.DirectIORead, pos: block,
		provoke: func() error { return readDirect(name, block, block) },
	}}, cleanup: cleanup}, nil
}

// sickInode makes a file on an XFS that is new, destroys its inode and leaves the
// filesystem mounted. In the first allocation group, where the files of the root
// directory are, inodes are numbered by their place, and have the size that
// mkfs.xfs gives them.
func sickInode(dev, dir string) (*fault, error) {
	const size = 512
	mount := func() error {
		if err := unix.Mount(dev, dir, "xfs", 0, ""); err != nil {
			return fmt.Errorf("mount XFS on %s: %w", dev, err)
		}
		return nil
	}
	if err := mount(); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, "sick")
	f, err := os.Create(name)
	if err != nil {
		_ = unix.Unmount(dir, 0)
		return nil, err
	}
	inodes, err := inodesOf([]*os.File{f})
	if err := errors.Join(err, f.Close(), unix.Unmount(dir, 0)); err != nil {
		return nil, err
	}
	disk, err := os.OpenFile(dev, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	magic, at := make([]byte, 2), int64(inodes[0])*size
	if _, err := disk.ReadAt(magic, at); err != nil {
		return nil, err
	}
	if string(magic) != "IN" {
		return nil, fmt.Errorf("no inode at byte %d of %s: %x", at, dev, magic)
	}
	if _, err := disk.WriteAt(bytes.Repeat([]byte{0x5a}, 32), at+32); err != nil {
		return nil, err
	}
	return &fault{
		name: "an inode with garbage in it", ino: inodes[0], errno: fserr.EFSCORRUPTED, class: fserr.Metadata, pos: -1, unread: true,
		provoke: func() error { _, err := os.Stat(name); return ignoreNotExist(err) },
	}, mount()
}

// readDirect reads n bytes at off past the page cache.
func readDirect(name string, off int64, n int) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, 2*n)
	skip := -int(uintptr(unsafe.Pointer(&buf[0]))) & (n - 1)
	if _, err := unix.Pread(fd, buf[skip:skip+n], off); err != nil {
		return &os.PathError{Op: "pread", Path: name, Err: err}
	}
	return nil
}

// readDir returns the inode numbers that a directory holds by name, without
// looking at the inodes: some of them are broken (struct linux_dirent64,
// linux/dirent.h).
func readDir(dir string) (map[string]uint64, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	inodes := make(map[string]uint64)
	buf := make([]byte, 8192)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			return nil, &os.PathError{Op: "getdents64", Path: dir, Err: err}
		}
		if n == 0 {
			return inodes, nil
		}
		for b := buf[:n]; len(b) > 19; {
			reclen := int(binary.NativeEndian.Uint16(b[16:]))
			name, _, _ := strings.Cut(string(b[19:reclen]), "\x00")
			inodes[name] = binary.NativeEndian.Uint64(b)
			b = b[reclen:]
		}
	}
}
