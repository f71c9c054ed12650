// SPDX-License-Identifier: MIT

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/ledger"
	"wqfan/bench/scenario"
	"wqfan/fan"
	"wqfan/fserr"
	"wqfan/internal/fanlimit"
	"wqfan/internal/stream"
	"wqfan/wq"
)

// channel is an arm that is open and watches: what fan and wq have in common,
// for the driver.
type channel struct {
	fserr.Source
	conn      syscall.Conn
	decode    stream.Decoder
	sequenced bool // errors carry pos and len
	stats     func() (ledger.Channel, error)
	statsFrom string
	reads     func() uint64
	woken     func() int64 // when its last wait ended, for a reader that waits on its thread
	fill      func() error // queues the cell's filler
}

// fillerID is the id of the watch on the filler's key; those of filesystems are
// their number, from 1.
const fillerID = 255

// openChannel opens the cell's arm at its capacity and watches the filesystems
// mounted at mounts, or the file own alone.
func openChannel(c scenario.Cell, mounts []string, own *os.File) (ch *channel, err error) {
	switch c.Arm.Channel {
	case scenario.Fanotify:
		ch, err = openFan(c, mounts, own)
	case scenario.WatchQueue:
		ch, err = openWQ(c, mounts, own)
	case scenario.HealthMonitor:
		return openHealthmon(c, mounts[0])
	case scenario.KernelLog:
		return openLog(c)
	}
	if err == nil && c.Flood.Trigger {
		ch.sequenced = false // nothing says which error a record is about
	}
	return ch, err
}

func openFan(c scenario.Cell, mounts []string, own *os.File) (_ *channel, err error) {
	var g *fan.Group
	open := func() (err error) {
		g, err = fan.Open(fan.Config{Detailed: c.Arm.Detail, MergeWhenFull: c.Arm.Honest, OverflowCount: c.Arm.Honest,
			BufferSize: c.Reader.Buffer, Thread: c.Reader.Realtime})
		if err == nil && own != nil {
			err = g.WatchFile(own)
		}
		return err
	}
	err = fanlimit.With(c.Queue, func() error { return as(own, open) })
	defer func() {
		if err != nil && g != nil {
			g.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	ch := &channel{Source: g, conn: g, decode: fan.Decode, reads: g.Reads, woken: g.Woken, sequenced: c.Arm.Detail, statsFrom: "fdinfo of the fanotify group", fill: func() error { return nil }}
	ch.stats = func() (ledger.Channel, error) {
		s, err := g.Stats()
		return ledger.Channel{Records: s.Queued, Merged: s.Merged, Dropped: s.Dropped}, err
	}
	for _, m := range mounts {
		if err := g.Watch(m); err != nil {
			return nil, err
		}
	}
	if c.Filler > 0 {
		dir, err := os.MkdirTemp("", "filler-")
		if err != nil {
			return nil, err
		}
		names, err := flood.MakeFiles(dir, int(c.Filler))
		if err != nil {
			return nil, err
		}
		if err := g.WatchOther(dir, unix.FAN_OPEN|unix.FAN_EVENT_ON_CHILD); err != nil {
			return nil, err
		}
		ch.fill = func() error { return flood.Opens(names) }
	}
	return ch, nil
}

func openWQ(c scenario.Cell, mounts []string, own *os.File) (_ *channel, err error) {
	var q *wq.Queue
	open := func() (err error) {
		q, err = wq.Open(wq.Config{Notes: int(c.Queue), LossCount: c.Arm.Honest, ChainWhole: c.Arm.Whole,
			BufferSize: c.Reader.Buffer, Thread: c.Reader.Realtime})
		if err == nil && own != nil {
			err = q.WatchFile(own, 1)
		}
		return err
	}
	err = as(own, open)
	defer func() {
		if err != nil && q != nil {
			q.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := restrict(q, c); err != nil {
		return nil, err
	}
	point := wq.Direct
	if c.Arm.Deferred {
		point = wq.Deferred
	}
	for i, m := range mounts {
		if err := q.Watch(m, uint8(i+1), point); err != nil {
			return nil, err
		}
	}
	return &channel{
		Source: q, conn: q, decode: wq.Decode, reads: q.Reads, woken: q.Woken, sequenced: true, statsFrom: "fdinfo of the watch queue, of its watches on filesystems",
		fill: func() error {
			if c.Filler == 0 {
				return nil
			}
			return flood.KeyUpdates(int(c.Filler), func(key int) error { return q.WatchKey(key, fillerID) }, nil)
		},
		stats: func() (ledger.Channel, error) {
			s, err := q.Stats()
			ch := ledger.Channel{Direct: !c.Arm.Deferred, Parts: s.PartsLost, High: s.High}
			for _, w := range s.Watches {
				if w.ID != fillerID {
					ch.Records += w.Posted
					ch.Filtered += w.Filtered
					ch.Dropped += w.Lost
				}
			}
			return ch, err
		},
	}, nil
}

// restrict sets the cell's filter and reserve.
func restrict(q *wq.Queue, c scenario.Cell) error {
	class := []uint8{uint8(c.Flood.Class)}
	switch {
	case c.Reserve > 0:
		return q.SetReserve(wq.Reserve{Type: wq.TypeFSError, Subtypes: class, Slots: uint32(c.Reserve)})
	case c.Filter && c.Arm.Honest:
		return q.SetFSFilter([]wq.FSRule{{Classes: []fserr.Class{c.Flood.Class}, Errno: c.Flood.Errno}})
	case c.Filter:
		return q.SetFilter([]wq.Filter{{Type: wq.TypeFSError, Subtypes: class}})
	}
	return nil
}

// as runs f; for a channel that watches a file of its own, on a thread that has
// no privileges, and ends with f.
func as(own *os.File, f func() error) error {
	if own == nil {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			done <- os.NewSyscallError("setresuid", errno)
			return
		}
		done <- f()
	}()
	return <-done
}

// openTargets opens n files on each of the mounted filesystems, creating them
// where they do not exist; for 0 it opens their root directories.
func openTargets(mounts []string, n int) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	for _, m := range mounts {
		names := []string{m}
		if n > 0 {
			names = nil
		}
		for i := range n {
			names = append(names, filepath.Join(m, fmt.Sprintf("target%03d", i)))
		}
		for _, name := range names {
			if n > 0 {
				if f, err := os.OpenFile(name, os.O_CREATE, 0o644); err != nil {
					return files, err
				} else if err := f.Close(); err != nil {
					return files, err
				}
			}
			f, err := os.Open(name)
			if err != nil {
				return files, err
			}
			files = append(files, f)
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// blockDevice finds the disk with a serial number, where the guest's init has
// linked it.
func blockDevice(serial string) (string, error) {
	return filepath.EvalSymlinks("/dev/wqfan/" + serial)
}
