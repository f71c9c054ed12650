// SPDX-License-Identifier: MIT

package repro

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fan"
	"wqfan/fserr"
	"wqfan/wq"
)

// stage is what a script has set up.
type stage struct {
	ctx         context.Context
	disks       Disks
	step        Step // the line that runs now
	filesystems map[string]*filesystem
	channels    map[string]*channel
	jobs        []chan error // background floods
	undo        []func() error
}

// note adds to what -v tells about the line that runs now.
func (s *stage) note(format string, args ...any) {
	s.step.Notes = append(s.step.Notes, fmt.Sprintf(format, args...))
}

// print is what the script's expected output is about.
func (s *stage) print(what, name, format string, args ...any) {
	s.step.Printed = append(s.step.Printed, what+" "+name+": "+fmt.Sprintf(format, args...))
}

func (s *stage) later(f func() error) { s.undo = append(s.undo, f) }

// strike undoes what the script did, the last first.
func (s *stage) strike() error {
	var errs []error
	for _, job := range s.jobs {
		errs = append(errs, <-job)
	}
	for _, f := range slices.Backward(s.undo) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// filesystem is an ext4 that the script has mounted.
type filesystem struct {
	name, dir string
	device    string // its name in sysfs: vda, loop0
	id        fserr.FSID
	mounted   bool
	witness   *fan.Group // sees each error that fserror has handled; nil where it is not needed
	seen      uint64     // by the witness
	sent      uint64
	files     int // made by opens
}

// mount mounts the next disk.
func (s *stage) mount(name string) error {
	device, release, err := s.disks.Take(s.ctx, len(s.filesystems))
	if err != nil {
		return err
	}
	defer release() // the mount holds it from now on
	fs := &filesystem{name: name, dir: filepath.Join(base, name), device: filepath.Base(device), mounted: true}
	if err := os.Mkdir(fs.dir, 0o700); err != nil {
		return err
	}
	s.later(func() error { return os.Remove(fs.dir) })
	switch err := unix.Mount(device, fs.dir, "ext4", 0, "errors=continue"); {
	case err == unix.ENODEV:
		return unsupported("the kernel has no ext4")
	case err != nil:
		return fmt.Errorf("mount %s: %w", device, err)
	}
	s.filesystems[name] = fs
	s.later(fs.unmount)
	var st unix.Statfs_t
	if err := unix.Statfs(fs.dir, &st); err != nil {
		return err
	}
	fs.id = fserr.FSID{uint32(st.Fsid.Val[0]), uint32(st.Fsid.Val[1])}
	s.note("ext4 on %s, fsid %v", device, fs.id)
	if !hasInjector() && !linux(7, 0) {
		return nil // fanotify is told where the error happens
	}
	if !hasInjector() {
		return s.addWitness(fs)
	}
	return nil
}

// addWitness has every error counted by a group of its own: since Linux 7.0
// fanotify is told later, by a worker, and a kernel without the series does not
// say when.
func (s *stage) addWitness(fs *filesystem) error {
	g, err := fan.Open(fan.Config{Unlimited: true})
	if err != nil {
		return err
	}
	s.later(g.Close)
	fs.witness = g
	return s.explainMark(g.Watch(fs.dir))
}

func (fs *filesystem) unmount() error {
	if !fs.mounted {
		return nil
	}
	fs.mounted = false
	if err := unix.Unmount(fs.dir, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", fs.dir, err)
	}
	return nil
}

// grace is how long a group may be told of an error after another was.
const grace = 20 * time.Millisecond

// settle waits until fserror's worker has handled all that was sent.
func (s *stage) settle(fs *filesystem) error {
	if fs.witness == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	events := make([]fserr.Event, 16)
	for fs.seen < fs.sent {
		n, err := fs.witness.Read(ctx, events)
		if err != nil {
			return fmt.Errorf("wait for fserror's worker, %d of %d errors: %w", fs.seen, fs.sent, err)
		}
		for _, e := range events[:n] {
			fs.seen += e.Errors()
		}
	}
	time.Sleep(grace)
	return nil
}

// channel is a group or a queue of the script.
type channel struct {
	fserr.Source
	syscall.Conn
	group  *fan.Group // one of these is set
	queue  *wq.Queue
	key    int // watched by the queue, 0 for none
	closed bool

	records int // of errors, in the last read

	told   uint64 // errors and other events read so far
	lost   uint64 // counted by loss records
	losses int    // loss records
}

func (s *stage) add(name string, c *channel) error {
	if s.channels[name] != nil {
		return fmt.Errorf("there is a %s already", name)
	}
	s.channels[name] = c
	s.later(c.close)
	return nil
}

func (c *channel) close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	return c.Source.Close()
}

// control calls f with the channel's descriptor.
func (c *channel) control(f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var answer error
	return errors.Join(raw.Control(func(fd uintptr) { answer = f(int(fd)) }), answer)
}

// held says what the channel holds: the kernel's counters where it has them.
func (c *channel) held() string {
	var size int
	text := "unknown"
	if err := c.control(func(fd int) (err error) {
		size, err = unix.IoctlGetInt(fd, unix.TIOCINQ) // FIONREAD
		return err
	}); err == nil {
		text = fmt.Sprintf("%d bytes", size)
	}
	if c.group != nil {
		if st, err := c.group.Stats(); err == nil {
			text += fmt.Sprintf("; errors so far: %d have a record, %d are in the count of one, %d dropped", st.Queued, st.Merged, st.Dropped)
		}
		return text
	}
	if st, err := c.queue.Stats(); err == nil {
		text += fmt.Sprintf(", %d of %d notes; so far: %d posted, %d filtered, %d lost", st.Depth, st.Notes, st.Posted, st.Filtered, st.Lost)
	}
	return text
}

// quiet is how long a queue must have had no news until read believes that none
// will come: package wq keeps a record whose last parts are missing for a while.
const quiet = 50 * time.Millisecond

// read takes what the channel holds, by one read(2) if once is set.
func (s *stage) read(c *channel, once bool) ([]fserr.Event, error) {
	var all []fserr.Event
	events := make([]fserr.Event, 4096)
	for {
		until := time.Unix(1, 0)
		if c.queue != nil && !once {
			until = time.Now().Add(quiet)
		}
		if err := c.SetReadDeadline(until); err != nil {
			return nil, err
		}
		n, err := c.Read(s.ctx, events)
		for i := range events[:n] {
			e := &events[i]
			e.Handle.Bytes, e.Record.Bytes = slices.Clone(e.Handle.Bytes), slices.Clone(e.Record.Bytes)
			all = append(all, *e)
			switch {
			case e.Kind == fserr.Lost:
				c.losses++
				c.lost += e.Count
			case e.Kind == fserr.Other:
				c.told++
			default:
				c.told += e.Errors()
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return all, nil
		case err != nil || once:
			return all, err
		}
	}
}

// background runs f, or has it run beside the next lines.
func (s *stage) background(aside bool, f func() error) error {
	if !aside {
		return f()
	}
	job := make(chan error, 1)
	s.jobs = append(s.jobs, job)
	go func() { job <- f() }()
	return nil
}

// trigger makes n errors with ext4's own trigger, on a thread of its own that is
// bound to a CPU. One that is urgent keeps fserror's worker, which is bound to
// the same CPU, from running meanwhile.
func trigger(fs *filesystem, n, cpu int, urgent bool) error {
	return onThread(func() error {
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("run on CPU %d: %w", cpu, err)
		}
		if urgent {
			attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
			if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
				return fmt.Errorf("become SCHED_FIFO: %w", err)
			}
		}
		return flood.TriggerExt4(fs.device, n, nil)
	})
}

// release is what uname -r says.
func release() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	return unix.ByteSliceToString(u.Release[:])
}

// linux says whether the running kernel is at least of this version.
func linux(major, minor int) bool {
	var v [2]int
	if _, err := fmt.Sscanf(release(), "%d.%d", &v[0], &v[1]); err != nil {
		return false
	}
	return slices.Compare(v[:], []int{major, minor}) >= 0
}
