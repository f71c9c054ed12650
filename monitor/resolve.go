// SPDX-License-Identifier: MIT

package monitor

import (
	"container/list"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
)

// resolver finds the path of an inode by its file handle (open_by_handle_at(2),
// which needs CAP_DAC_READ_SEARCH).
//
// To look at a broken inode can be an error of its own, which the filesystem
// reports: each is asked for once, and the answer, be it none, is kept as long
// as there is room. A filesystem that does not answer at all, as a device that
// hangs, gets no further question until it does.
type resolver struct {
	mu    sync.Mutex
	known map[inode]*list.Element // of known paths, the latest used first
	order *list.List
	busy  map[fserr.FSID]bool
}

type inode struct {
	fsid   fserr.FSID
	typ    int32
	handle string
}

type known struct {
	inode
	path string
}

const (
	maxKnown    = 4096        // paths that are kept
	patience    = time.Second // for an answer
	ino32Gen    = 1           // FILEID_INO32_GEN, linux/exportfs.h
	ino64GenXFS = 0x81        // FILEID_INO32_GEN | XFS_FILEID_TYPE_64FLAG, fs/xfs/xfs_export.h
)

func newResolver() *resolver {
	return &resolver{known: make(map[inode]*list.Element), order: list.New(), busy: make(map[fserr.FSID]bool)}
}

// forget drops all answers: something may have been repaired.
func (r *resolver) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.known)
	r.order.Init()
}

// path returns the path of the inode that e is about, or "".
func (r *resolver) path(m *watched, e *fserr.Event) string {
	h, ok := handle(m.magic, e)
	if !ok {
		return ""
	}
	key := inode{m.fsid, h.Type(), string(h.Bytes())}
	r.mu.Lock()
	if el, ok := r.known[key]; ok {
		defer r.mu.Unlock()
		r.order.MoveToFront(el)
		return el.Value.(known).path
	}
	if r.busy[m.fsid] {
		defer r.mu.Unlock()
		return ""
	}
	r.busy[m.fsid] = true
	r.mu.Unlock()

	answer := make(chan string, 1)
	go func() {
		path := resolve(m, h)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.busy, m.fsid)
		r.known[key] = r.order.PushFront(known{key, path})
		if r.order.Len() > maxKnown {
			delete(r.known, r.order.Remove(r.order.Back()).(known).inode)
		}
		answer <- path
	}()
	select {
	case path := <-answer:
		return path
	case <-time.After(patience):
		return ""
	}
}

// handle returns the event's file handle. ext4 and XFS make theirs of nothing but
// the inode's number and generation.
func handle(magic uint32, e *fserr.Event) (unix.FileHandle, bool) {
	switch {
	case e.Is(fserr.HasHandle):
		return unix.NewFileHandle(e.Handle.Type, e.Handle.Bytes), true
	case !e.Is(fserr.HasInode):
	case magic == fserr.EXT4Magic || magic == fserr.XFSMagic && e.Ino < 1<<32:
		b := binary.NativeEndian.AppendUint32(nil, uint32(e.Ino))
		return unix.NewFileHandle(ino32Gen, binary.NativeEndian.AppendUint32(b, e.Gen)), true
	case magic == fserr.XFSMagic:
		b := binary.NativeEndian.AppendUint64(nil, e.Ino)
		return unix.NewFileHandle(ino64GenXFS, binary.NativeEndian.AppendUint32(b, e.Gen)), true
	}
	return unix.FileHandle{}, false
}

// resolve opens the filesystem only while it asks, so as not to keep it mounted.
func resolve(m *watched, h unix.FileHandle) string {
	dir, err := unix.Open(m.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(dir)
	if fsid, _, err := statfs(func(st *unix.Statfs_t) error { return unix.Fstatfs(dir, st) }); err != nil || fsid != m.fsid {
		return "" // another filesystem is mounted there by now
	}
	fd, err := unix.OpenByHandleAt(dir, h, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return ""
	}
	// A file that nothing has looked up by name has none: its path ends where
	// it begins. Folders always have theirs.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR && (path == m.Dir || path == "/") {
		return ""
	}
	if path != m.Dir && !strings.HasPrefix(path, strings.TrimSuffix(m.Dir, "/")+"/") {
		return ""
	}
	return path
}

// statfs returns what identifies a filesystem and of what kind it is.
func statfs(call func(*unix.Statfs_t) error) (fserr.FSID, uint32, error) {
	var st unix.Statfs_t
	err := call(&st)
	return fserr.FSID{uint32(st.Fsid.Val[0]), uint32(st.Fsid.Val[1])}, uint32(st.Type), os.NewSyscallError("statfs", err)
}
