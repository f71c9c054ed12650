// SPDX-License-Identifier: MIT

package bench

import (
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
	"wqfan/bench/ledger"
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
	provoke func() error
}

// corruption meets real errors with all arms open side by side, so that all of
// them are told of the very same faults, and checks that each names the right
// inode and errno. One more watch queue is the witness of how many reports
// there were.
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
	faults, cleanup, err := prepare(dir)
	if err != nil {
		return err
	}
	defer cleanup()

	witness := scenario.Cell{Arm: scenario.Arm{Name: "witness", Channel: scenario.WatchQueue}, Queue: 512}
	all := append([]scenario.Cell{witness}, cells...)
	readers := make([]*reader, len(all))
	for i, c := range all {
		ch, err := openChannel(c, dir)
		if err != nil {
			return err
		}
		defer ch.Close()
		ch.sequenced = false // Pos is a real position here
		readers[i] = newReader(ch, 0)
	}
	seen := make([][]fserr.Event, len(all))
	for _, f := range faults {
		if err := f.provoke(); err == nil {
			return fmt.Errorf("%s: the filesystem noticed nothing", f.name)
		}
		for i, r := range readers {
			got, err := r.drain(ctx)
			if err != nil {
				return err
			}
			seen[i] = append(seen[i], got...)
			if i == 0 {
				continue
			}
			if err := f.check(got); err != nil {
				out[i-1].Err = strings.TrimPrefix(out[i-1].Err+"; "+err.Error(), "; ")
			}
		}
	}
	for i, r := range readers[1:] {
		for _, e := range seen[i+1] {
			out[i].Events = append(out[i].Events, e.String())
		}
		in := ledger.Injected{Attempted: readers[0].ledger.Records}
		out[i].Params.Errors, out[i].Flood = in.Attempted, result.Flood{Attempted: in.Attempted, Accepted: in.Attempted}
		if err := r.account(in, nil, &out[i]); err != nil && out[i].Err == "" {
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

// check finds the fault among the events that it caused. Only what a channel
// reports can be wrong.
func (f fault) check(events []fserr.Event) error {
	for _, e := range events {
		switch {
		case e.Kind != fserr.Error, e.Is(fserr.HasErrno) && e.Errno != f.errno, !e.Is(fserr.HasInode) || e.Ino != f.ino:
		case e.Is(fserr.HasClass) && e.Class != f.class:
		case e.Is(fserr.HasRange) && e.Pos != f.pos:
		default:
			return nil
		}
	}
	return fmt.Errorf("%s: no event names inode %d and %v: got %v", f.name, f.ino, f.errno, events)
}

// brokenExt4 mounts the ext4 image that was corrupted on the host.
func brokenExt4(dir string) ([]fault, func(), error) {
	dev, err := blockDevice(BrokenExt4)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.Mount(dev, dir, "ext4", 0, "errors=continue"); err != nil {
		return nil, nil, fmt.Errorf("mount the corrupted ext4 %s: %w", dev, err)
	}
	cleanup := func() { _ = unix.Unmount(dir, 0) }
	inodes, err := readDir(dir)
	if err != nil {
		cleanup()
		return nil, nil, err
	}
	for _, name := range []string{BadDir, BadFile} {
		if inodes[name] == 0 {
			cleanup()
			return nil, nil, fmt.Errorf("the corrupted ext4 %s holds no %s", dev, name)
		}
	}
	return []fault{{
		name: "a directory block with garbage in it", ino: inodes[BadDir], errno: fserr.EFSBADCRC, class: fserr.Metadata, pos: -1,
		provoke: func() error { _, err := os.Stat(filepath.Join(dir, BadDir, "x")); return ignoreNotExist(err) },
	}, {
		name: "an inode with an impossible mode", ino: inodes[BadFile], errno: fserr.EFSCORRUPTED, class: fserr.Metadata, pos: -1,
		provoke: func() error { _, err := os.Stat(filepath.Join(dir, BadFile)); return ignoreNotExist(err) },
	}}, cleanup, nil
}

func ignoreNotExist(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// failingXFS mounts XFS on device-mapper, writes a file and then lets the
// device fail where the file's second block lies.
func failingXFS(dir string) (_ []fault, _ func(), err error) {
	dev, err := blockDevice(SpareXFS)
	if err != nil {
		return nil, nil, err
	}
	dm, err := flood.Map("wqfan-failing", dev)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.Mount(dm.Path, dir, "xfs", 0, ""); err != nil {
		_ = dm.Remove()
		return nil, nil, fmt.Errorf("mount XFS on %s: %w", dm.Path, err)
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
		return nil, nil, err
	}
	defer f.Close()
	if _, err := f.Write(append([]byte(goodContent), make([]byte, 16*block)...)); err != nil {
		return nil, nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, nil, err
	}
	at, length, err := flood.FirstExtent(f)
	if err != nil {
		return nil, nil, err
	}
	if length < 2*block {
		return nil, nil, fmt.Errorf("the first extent of %s has only %d bytes", name, length)
	}
	inodes, err := inodesOf([]*os.File{f})
	if err != nil {
		return nil, nil, err
	}
	bad := at/512 + block/512
	if err := dm.Load(flood.Segment{Sectors: bad}, flood.Segment{Sectors: block / 512, Fails: true},
		flood.Segment{Sectors: dm.Sectors() - bad - block/512}); err != nil {
		return nil, nil, err
	}
	return []fault{{
		name: "a direct read of a block that the device cannot read", ino: inodes[0], errno: fserr.Errno(unix.EIO), class: fserr.DirectIORead, pos: block,
		provoke: func() error { return readDirect(name, block, block) },
	}}, cleanup, nil
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
