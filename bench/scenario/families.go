// SPDX-License-Identifier: MIT

package scenario

import (
	"fmt"
	"slices"
	"time"

	"wqfan/bench/flood"
)

// The scenarios that the driver or the report treat as themselves.
const (
	Overflow   = "overflow"
	Latency    = "latency"
	Loss       = "loss"
	Corruption = "corruption"
)

// Scenario is a family of cells: one question to every arm.
type Scenario struct {
	Name  string
	About string

	arms []string // that it asks; nil: those of compared
	fs   []string // nil: those of disks
	once bool     // only in the guests with the fewest CPUs

	// cells returns the cells for one arm and a guest with so many CPUs. The
	// plan adds the kernel, the filesystem, the arm and the CPUs.
	cells func(a Arm, cpus int, full bool) []Cell
}

var (
	compared = []string{"fan", "wq-base", "wq-base-worker"}
	disks    = []string{"ext4", "xfs"}
)

// All returns the scenarios in the order in which they run.
func All() []Scenario { return slices.Clone(families) }

var families = []Scenario{
	{Name: Overflow, About: "bursts of errors against a queue that nobody reads, at several queue sizes: what is kept, merged, lost, and signalled when",
		cells: overflow},
	{Name: Latency, About: "single errors at a Poisson pace: from the moment each was due until user space has read it",
		cells: func(a Arm, _ int, full bool) (cells []Cell) {
			single, paces := uint64(500), []time.Duration{10 * time.Millisecond}
			if full {
				single, paces = 5000, []time.Duration{10 * time.Millisecond, time.Millisecond, 200 * time.Microsecond}
			}
			for _, d := range paces {
				cells = append(cells, paced(a, "pace="+ascii(d), single, d, Reader{Live: true, Realtime: true}))
			}
			return cells
		}},
	{Name: Loss, About: "offered rate from idle to flat out against a live reader: delivered, coalesced, lost",
		cells: loss},
	{Name: Corruption, About: "an ext4 directory and inode broken on disk, a failing device under XFS: do the channels name the right inode and errno",
		// What a real fault reports does not depend on how many CPUs there are.
		once: true, cells: func(a Arm, _ int, _ bool) []Cell {
			return []Cell{{Point: "real faults", Queue: largest(a), Reader: Reader{Live: true}}}
		}},
}

// queue is one capacity to drive an arm at.
type queue struct{ size, filler uint64 }

func overflow(a Arm, cpus int, full bool) []Cell {
	bursts := []uint64{1, 10, 100, 1000, 100_000}
	queues := map[Channel][]queue{
		// A group that holds only errors that merge does not fill. To fill it
		// the limit is lowered and all places but one, then all, are taken by
		// opens; the ring of a watch queue is treated alike, with keys.
		Fanotify:   {{16384, 0}, {16, 15}, {16, 16}},
		WatchQueue: {{512, 0}, {32, 31}, {32, 32}},
	}
	if full {
		bursts = []uint64{1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000}
		queues[Fanotify] = []queue{{16384, 0}, {1024, 0}, {512, 0}, {16, 0}, {16, 8}, {16, 15}, {16, 16}}
		queues[WatchQueue] = []queue{{512, 0}, {256, 0}, {128, 0}, {32, 0}, {32, 16}, {32, 31}, {32, 32}}
	}
	var cells []Cell
	for _, q := range queues[a.Channel] {
		for _, n := range bursts {
			point := fmt.Sprintf("queue=%d burst=%d", q.size, n)
			if q.filler > 0 {
				point = fmt.Sprintf("queue=%d filler=%d burst=%d", q.size, q.filler, n)
			}
			cells = append(cells, Cell{Point: point, Queue: q.size, Filler: q.filler, Flood: burst(n, cpus)})
		}
	}
	return cells
}

func loss(a Arm, _ int, full bool) []Cell {
	gaps := []time.Duration{time.Millisecond, 100 * time.Microsecond, 10 * time.Microsecond, 3 * time.Microsecond, 2 * time.Microsecond, time.Microsecond, 0}
	sweep := 50 * time.Millisecond
	if full {
		gaps = []time.Duration{10 * time.Millisecond, time.Millisecond, 300 * time.Microsecond, 100 * time.Microsecond, 50 * time.Microsecond, 30 * time.Microsecond,
			20 * time.Microsecond, 10 * time.Microsecond, 5 * time.Microsecond, 3 * time.Microsecond, 2 * time.Microsecond, time.Microsecond, 0}
		sweep = 500 * time.Millisecond
	}
	var cells []Cell
	for _, d := range gaps {
		// As many as fill the sweep's time: many slices of the scheduler, or
		// the loss would be an accident of one. Flat out costs about 2 us.
		n := max(500, uint64(sweep/max(d, 2*time.Microsecond)))
		c := Cell{Point: "gap=" + ascii(d), Queue: largest(a), Reader: Reader{Live: true},
			Flood: flood.Spec{Count: n, Schedule: flood.Fixed, Interval: d, Log: true}}
		if d == 0 {
			c.Point, c.Flood.Schedule = "gap=flat", flood.Flat
		}
		cells = append(cells, c)
	}
	return cells
}

// burst is n errors flat out, by a reporting thread on each CPU: fserror has a
// worker for each.
func burst(n uint64, cpus int) flood.Spec {
	return flood.Spec{Count: n, Schedule: flood.Flat, Threads: cpus, CPUs: fmt.Sprintf("0-%d", cpus-1), Log: true}
}

// paced is n single errors of inodes at a Poisson pace.
func paced(a Arm, point string, n uint64, pace time.Duration, r Reader) Cell {
	return Cell{Point: point, Queue: largest(a), Reader: r, Targets: 16,
		Flood: flood.Spec{Count: n, Schedule: flood.Poisson, Interval: pace, PerInode: true, Log: true}}
}

// largest is the capacity that each channel has by default at its best: that of
// fs.fanotify.max_queued_events, and watch_queue's limit in mainline.
func largest(a Arm) uint64 {
	if a.Channel == Fanotify {
		return 16384
	}
	return 512
}
