// SPDX-License-Identifier: MIT

package scenario

import (
	"fmt"
	"strings"
	"time"

	"wqfan/bench/flood"
	"wqfan/fserr"
)

// Cell is one measurement: a flood against one arm on one filesystem. Times
// are guest time.
type Cell struct {
	Scenario string
	Kernel   Variant
	Arm      Arm
	FS       string // ext4, xfs, tmpfs
	CPUs     int
	Point    string  // what varies within the scenario, key=value
	Queue    uint64  // capacity: notes of a watch queue, max_queued_events of a group
	Filler   uint64  // other events queued before the errors: opens in a group, key updates in a watch queue
	Mounts   int     // filesystems of the kind of FS that the errors go round; 0 is the one of the boot
	Watchers int     // channels of the arm side by side; 0 is one
	Idle     bool    // the channel is open, and watches another filesystem
	Own      bool    // the reader is nobody, and watches the first target only: a file that it holds open
	Targets  int     // files that the errors stride over; 0 for errors of the superblock
	Noise    uint64  // errors of class NoiseClass that come before the flood
	Filter   bool    // the channel takes errors of the flood's class only
	Reserve  uint64  // places that the channel keeps for errors of the flood's class
	Course   bool    // say how full the queue was all along, whether errors are lost or not
	Memory   bool    // take what the kernel's memory has lost to the channel
	Like     Channel // the flood is what this channel can be told of; "" is the arm's own
	Reader   Reader
	Search   Search
	Flood    flood.Spec
}

// NoiseClass is the class of the errors that a flood must not be pushed out by.
const NoiseClass = fserr.BufferedRead

// Reader is who reads, and how.
type Reader struct {
	Live     bool          // during the flood; otherwise it starts after it
	Realtime bool          // a SCHED_FIFO thread that waits in ppoll(2), as cyclictest does; otherwise Go's poller waits
	Blocking bool          // with Realtime: it waits in read(2) itself
	Every    time.Duration // it looks that often only, at fixed times, and then takes all there is
	Each     time.Duration // it takes one record after the other, and so long for each error, from when it came or the one before was done
	Work     time.Duration // it sleeps so long for each event
	Stall    time.Duration // it stands still so long, once, after half of the errors
	Buffer   int           // bytes that it offers to read(2); 0 is the library's choice
	CPU      string        // the CPU of its thread; "" is any
}

// String says it in words.
func (r Reader) String() string {
	if !r.Live {
		return "unread"
	}
	words := []string{"live"}
	if r.Realtime {
		words = append(words, "SCHED_FIFO")
	}
	if p := strings.TrimPrefix(r.point(), "wait=poller"); p != "" && p != "wait=ppoll" {
		words = append(words, p)
	}
	if r.CPU != "" {
		words = append(words, "on CPU "+r.CPU)
	}
	return strings.Join(words, ", ")
}

// point says what is particular about it, as a part of a cell's name.
func (r Reader) point() string {
	switch {
	case r.Every > 0:
		return "every=" + ascii(r.Every)
	case r.Each > 0:
		return "each=" + ascii(r.Each)
	case r.Work > 0:
		return "work=" + ascii(r.Work)
	case r.Stall > 0:
		return "stall=" + ascii(r.Stall)
	case r.Buffer > 0:
		return fmt.Sprintf("buffer=%d", r.Buffer)
	case r.Blocking:
		return "wait=read"
	case r.Realtime:
		return "wait=ppoll"
	}
	return "wait=poller"
}

// Search looks for the most that a channel takes with no more than a share of
// it lost: by trials, each a flood of its own.
type Search struct {
	Over   Quantity      // "" does not search
	From   float64       // the least that is tried
	To     float64       // the most
	Loss   float64       // share of the errors that may be lost: 0 makes it the no-drop rate
	Detail bool          // errors that are known by count only are lost, too
	Width  float64       // the search ends when the least that failed is within this share of the most that passed
	Trial  time.Duration // length of a trial at a rate
}

// Quantity is what a search varies.
type Quantity string

// What is searched for: a rate in errors per second of guest time, or a burst
// in errors, flat out.
const (
	Rate  Quantity = "rate"
	Burst Quantity = "burst"
)

// point says what is looked for.
func (s Search) point() string {
	switch {
	case s.Over == Burst:
		return "goal=burst"
	case s.Detail:
		return "goal=detail"
	case s.Loss > 0:
		return fmt.Sprintf("goal=pdr loss=%g", s.Loss)
	}
	return "goal=ndr"
}

// ID names the cell: the same one in every run that has it, whichever image
// stood for its kernel.
func (c Cell) ID() string {
	return fmt.Sprintf("%s/kernel=%s/fs=%s/cpus=%d/arm=%s/%s", c.Scenario, c.Kernel, c.FS, c.CPUs, c.Arm.Name, strings.ReplaceAll(c.Point, " ", "/"))
}

// ascii is d.String without the micro sign: points are part of file names.
func ascii(d time.Duration) string { return strings.ReplaceAll(d.String(), "µ", "u") }
