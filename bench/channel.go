// SPDX-License-Identifier: MIT

package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/ledger"
	"wqfan/bench/scenario"
	"wqfan/fan"
	"wqfan/fserr"
	"wqfan/internal/fanlimit"
	"wqfan/wq"
)

// channel is an arm that is open and watches one filesystem: what fan and wq
// have in common, for the driver.
type channel struct {
	fserr.Source
	sequenced bool // errors carry pos and len
	stats     func() (ledger.Channel, error)
	statsFrom string
	reads     func() uint64
	fill      func() error // queues the cell's filler
}

// The ids that the driver gives its watches.
const (
	errorsID = 1
	fillerID = 2
)

// openChannel opens the cell's arm at its capacity and watches the filesystem
// mounted at mount.
func openChannel(c scenario.Cell, mount string) (*channel, error) {
	if c.Arm.Channel == scenario.Fanotify {
		return openFan(c, mount)
	}
	return openWQ(c, mount)
}

func openFan(c scenario.Cell, mount string) (*channel, error) {
	var g *fan.Group
	open := func() (err error) {
		g, err = fan.Open(fan.Config{Thread: c.Reader.Realtime})
		return err
	}
	var err error
	if c.Queue == 0 {
		err = open()
	} else {
		err = fanlimit.With(c.Queue, open)
	}
	if err != nil {
		return nil, err
	}
	ch := &channel{Source: g, reads: g.Reads, statsFrom: "fdinfo of the fanotify group", fill: func() error { return nil }}
	ch.stats = func() (ledger.Channel, error) {
		s, err := g.Stats()
		return ledger.Channel{Records: s.Queued, Merged: s.Merged, Dropped: s.Dropped}, err
	}
	if err := g.Watch(mount); err != nil {
		g.Close()
		return nil, err
	}
	if c.Filler > 0 {
		dir, err := os.MkdirTemp("", "filler-")
		if err != nil {
			g.Close()
			return nil, err
		}
		names, err := flood.MakeFiles(dir, int(c.Filler))
		if err == nil {
			err = g.WatchOther(dir, unix.FAN_OPEN|unix.FAN_EVENT_ON_CHILD)
		}
		if err != nil {
			g.Close()
			return nil, err
		}
		ch.fill = func() error { return flood.Opens(names) }
	}
	return ch, nil
}

func openWQ(c scenario.Cell, mount string) (*channel, error) {
	q, err := wq.Open(wq.Config{Notes: int(c.Queue), Thread: c.Reader.Realtime})
	if err != nil {
		return nil, err
	}
	point := wq.Direct
	if c.Arm.Deferred {
		point = wq.Deferred
	}
	if err := q.Watch(mount, errorsID, point); err != nil {
		q.Close()
		return nil, err
	}
	return &channel{
		Source: q, reads: q.Reads, sequenced: true, statsFrom: "fdinfo of the watch queue, of the watch on the filesystem",
		fill: func() error {
			if c.Filler == 0 {
				return nil
			}
			return flood.KeyUpdates(int(c.Filler), func(key int) error { return q.WatchKey(key, fillerID) })
		},
		stats: func() (ledger.Channel, error) {
			s, err := q.Stats()
			if err != nil {
				return ledger.Channel{}, err
			}
			i := slices.IndexFunc(s.Watches, func(w wq.WatchStats) bool { return w.ID == errorsID })
			if i < 0 {
				return ledger.Channel{}, fmt.Errorf("the watch on %s is gone from the queue's fdinfo", mount)
			}
			w := s.Watches[i]
			return ledger.Channel{Records: w.Posted, Filtered: w.Filtered, Dropped: w.Lost, Direct: !c.Arm.Deferred}, nil
		},
	}, nil
}

// openTargets opens n files of the mounted filesystem, creating them where
// they do not exist; for 0 it opens the root directory.
func openTargets(mount string, n int) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	if n == 0 {
		f, err := os.Open(mount)
		return []*os.File{f}, err
	}
	for i := range n {
		f, err := os.OpenFile(filepath.Join(mount, fmt.Sprintf("target%03d", i)), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// blockDevice finds the virtio disk with a serial number.
func blockDevice(serial string) (string, error) {
	names, err := filepath.Glob("/sys/block/*/serial")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err == nil && strings.TrimSpace(string(b)) == serial {
			return "/dev/" + filepath.Base(filepath.Dir(name)), nil
		}
	}
	return "", fmt.Errorf("find the disk with serial number %q: %w", serial, errors.Join(os.ErrNotExist, fmt.Errorf("have %q", names)))
}
