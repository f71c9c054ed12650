// SPDX-License-Identifier: MIT

package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
)

// table is what is mounted, and who watches it. The zero value is empty.
type table struct {
	mu     sync.RWMutex
	mounts map[identity]*watched
	byFSID map[fserr.FSID]*watched // also of what is gone: events may still come
	byID   [256]*watched
}

// identity tells a mount from one that was there before.
type identity struct {
	id           int
	major, minor uint32
	dir          string
}

// update makes the table about those mounts and returns what is gone.
func (t *table) update(mounts []Mount) (gone []*watched) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := make(map[identity]*watched, len(mounts))
	for _, m := range mounts {
		key := identity{m.ID, m.Major, m.Minor, m.Dir}
		w := t.mounts[key]
		if w == nil {
			w = &watched{Mount: m, id: t.free()}
			t.byID[w.id] = w
		}
		now[key] = w
	}
	for key, w := range t.mounts {
		if now[key] == nil {
			gone = append(gone, w)
		}
	}
	t.mounts = now
	if len(t.byFSID) > 2*maxMounts {
		maps.DeleteFunc(t.byFSID, func(_ fserr.FSID, w *watched) bool { return slices.Contains(gone, w) })
	}
	return gone
}

// free returns an id that no mount has, if there is one. Those of mounts that
// are gone are taken last: events may still come.
func (t *table) free() uint8 {
	used := make(map[uint8]bool)
	for _, w := range t.mounts {
		used[w.id] = true
	}
	best := uint8(0)
	for id := 255; id > 0; id-- {
		if t.byID[id] == nil {
			return uint8(id)
		}
		if !used[uint8(id)] {
			best = uint8(id)
		}
	}
	return best
}

// identify says which filesystem a mount is of.
func (t *table) identify(w *watched, fsid fserr.FSID, magic uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byFSID == nil {
		t.byFSID = make(map[fserr.FSID]*watched)
	}
	if w.fsid != fsid || w.magic != magic { // else others may be reading them
		w.fsid, w.magic = fsid, magic
	}
	t.byFSID[fsid] = w
}

// set says how an attempt to watch went, and returns what is new about that.
func (t *table) set(w *watched, backend string, err error) (news string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	failed := ""
	if err != nil {
		backend, failed = "", err.Error()
	}
	if w.backend != backend || w.failed != failed {
		news = cmp.Or(failed, backend)
	}
	w.backend, w.failed = backend, failed
	return news
}

// find returns the mount that an event is about, or nil.
func (t *table) find(e *fserr.Event) *watched {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch {
	case e.Is(fserr.HasFSID):
		return t.byFSID[e.FSID]
	case e.Is(fserr.HasWatch):
		return t.byID[e.Watch]
	}
	return nil
}

// current returns the mounts in the order of their places.
func (t *table) current() []*watched {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.SortedFunc(maps.Values(t.mounts), func(a, b *watched) int { return cmp.Compare(a.Dir, b.Dir) })
}

// list is current, as copies that do not change.
func (t *table) list() []watched {
	var all []watched
	for _, w := range t.current() {
		t.mu.RLock()
		all = append(all, *w)
		t.mu.RUnlock()
	}
	return all
}

// failing reports whether a mount is not watched.
func (t *table) failing() bool {
	return slices.ContainsFunc(t.list(), func(w watched) bool { return w.backend == "" })
}

// status says how many are watched.
func (t *table) status() string {
	n, all := 0, t.list()
	for _, w := range all {
		if w.backend != "" {
			n++
		}
	}
	return fmt.Sprintf("watching %d of %d filesystems", n, len(all))
}

// followMounts sends whenever something is mounted or unmounted.
func followMounts() (changed <-chan struct{}, stop func(), err error) {
	// Not os.Open: the file would be in the runtime's poller, too, and the news
	// is for whoever polls first.
	fd, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/proc/self/mountinfo", Err: err}
	}
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, nil, os.NewSyscallError("eventfd2", err)
	}
	news, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		for {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}, {Fd: int32(end), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR || fds[1].Revents != 0 {
				return
			}
			if fds[0].Revents&(unix.POLLPRI|unix.POLLERR) != 0 {
				select {
				case news <- struct{}{}:
				default:
				}
			}
		}
	}()
	return news, func() {
		_, _ = unix.Write(end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		<-done
		unix.Close(end)
		unix.Close(fd)
	}, nil
}
