// SPDX-License-Identifier: MIT

package scenario

import (
	"fmt"
	"strings"
	"time"

	"wqfan/bench/flood"
)

// Cell is one measurement: a flood against one arm on one filesystem. Times
// are guest time.
type Cell struct {
	Scenario string
	Kernel   Variant
	Arm      Arm
	FS       string // ext4, xfs, tmpfs
	CPUs     int
	Point    string // what varies within the scenario, key=value
	Queue    uint64 // capacity: notes of a watch queue, max_queued_events of a group; 0 keeps the default
	Filler   uint64 // other events queued before the errors: opens in a group, key updates in a watch queue
	Targets  int    // files that the errors stride over; 0 for errors of the superblock
	Reader   Reader
	Flood    flood.Spec
}

// Reader is who reads, and how.
type Reader struct {
	Live     bool // during the flood; otherwise it starts after it
	Realtime bool // a SCHED_FIFO thread that waits in ppoll(2), as cyclictest does; otherwise Go's poller waits
}

// String says it in words.
func (r Reader) String() string {
	if !r.Live {
		return "unread"
	}
	if r.Realtime {
		return "live, SCHED_FIFO"
	}
	return "live"
}

// ID names the cell: the same one in every run that has it, whichever image
// stood for its kernel.
func (c Cell) ID() string {
	return fmt.Sprintf("%s/kernel=%s/fs=%s/cpus=%d/arm=%s/%s", c.Scenario, c.Kernel, c.FS, c.CPUs, c.Arm.Name, strings.ReplaceAll(c.Point, " ", "/"))
}

// ascii is d.String without the micro sign: points are part of file names.
func ascii(d time.Duration) string { return strings.ReplaceAll(d.String(), "µ", "u") }
