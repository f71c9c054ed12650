// SPDX-License-Identifier: MIT

package scenario

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"wqfan/bench/flood"
	"wqfan/fserr"
)

// The scenarios.
const (
	Overflow   = "overflow"   // bursts against an unread queue
	Latency    = "latency"    // single errors at a pace against a live reader
	Loss       = "loss"       // offered rate swept against a live reader
	Corruption = "corruption" // real ext4 corruption and real XFS I/O errors
)

// Scenario is a family of cells.
type Scenario struct {
	Name  string
	About string
}

// All returns the scenarios in the order in which they run.
func All() []Scenario {
	return []Scenario{
		{Overflow, "bursts of errors against a queue that nobody reads, at several queue sizes: what is kept, merged, lost, and signalled when"},
		{Latency, "single errors at a Poisson pace: from the moment each was due until user space has read it"},
		{Loss, "offered rate from idle to flat out against a live reader: delivered, coalesced, lost"},
		{Corruption, "an ext4 directory and inode broken on disk, a failing device under XFS: do both channels name the right inode and errno"},
	}
}

// Cell is one measurement: a flood against one arm on one filesystem. Times
// are guest time.
type Cell struct {
	Scenario string
	Arm      Arm
	FS       string // ext4, xfs
	CPUs     int
	Point    string // what varies within the scenario, key=value
	Queue    uint64 // capacity: notes of a watch queue, max_queued_events of a group; 0 keeps the default
	Filler   uint64 // other events queued before the errors: opens in a group, key updates in a watch queue
	Live     bool   // the reader runs during the flood; otherwise it starts after it
	Realtime bool   // the reader is a SCHED_FIFO thread that waits in ppoll(2), as cyclictest does
	Targets  int    // files that the errors stride over; 0 for errors of the superblock
	Flood    flood.Spec
}

// ID names the cell within a run.
func (c Cell) ID() string {
	return fmt.Sprintf("%s/fs=%s/cpus=%d/arm=%s/%s", c.Scenario, c.FS, c.CPUs, c.Arm.Name, strings.ReplaceAll(c.Point, " ", "/"))
}

// Boot is a list of cells that share one boot.
type Boot struct {
	ID    string // unique in the plan
	CPUs  int
	Cells []Cell
}

// Plan is what a run does.
type Plan struct {
	Boots []Boot
}

// Cells returns how many cells the plan has.
func (p Plan) Cells() (n int) {
	for _, b := range p.Boots {
		n += len(b.Cells)
	}
	return n
}

// Select says which part of the matrix a plan takes. An empty list takes all.
type Select struct {
	Scenarios []string
	Arms      []string
	FS        []string
	CPUs      []int
	Cells     []string // parts of cells' IDs, of which a cell has one
	Full      bool     // the whole matrix rather than the quick one
	Boots     int      // repetitions, each with a schedule and an order of its own; 0 is 1
	Seed      uint64   // of the Poisson schedules and the order of the arms
}

// New makes the plan for a selection: one boot for each number of CPUs, and
// that as often as it is to be repeated, so that what drifts on the host meets
// all of them. It refuses names that do not exist.
func New(sel Select) (Plan, error) {
	known := func(what string, have []string, want []string) error {
		for _, w := range want {
			if !slices.Contains(have, w) {
				return fmt.Errorf("no %s %q: have %s", what, w, strings.Join(have, ", "))
			}
		}
		return nil
	}
	var names, armNames []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	for _, a := range arms {
		armNames = append(armNames, a.Name)
	}
	if err := known("scenario", names, sel.Scenarios); err != nil {
		return Plan{}, err
	}
	if err := known("arm", armNames, sel.Arms); err != nil {
		return Plan{}, err
	}
	if err := known("filesystem", filesystems, sel.FS); err != nil {
		return Plan{}, err
	}
	takes := func(have []string, name string) bool { return len(have) == 0 || slices.Contains(have, name) }

	cpus := []int{1, 2}
	if len(sel.CPUs) > 0 {
		cpus = slices.Clone(sel.CPUs)
		slices.Sort(cpus)
		cpus = slices.Compact(cpus)
	}
	for _, n := range cpus {
		if n < 1 {
			return Plan{}, fmt.Errorf("%d CPUs: a guest has at least one", n)
		}
	}
	wanted := func(id string) bool {
		return len(sel.Cells) == 0 || slices.ContainsFunc(sel.Cells, func(part string) bool { return strings.Contains(id, part) })
	}
	var p Plan
	for rep := range max(sel.Boots, 1) {
		seeds := rand.New(rand.NewPCG(sel.Seed, uint64(rep)))
		schedule := 1 + seeds.Uint64N(1<<32)
		for i, n := range cpus {
			b := Boot{CPUs: n}
			for _, fs := range filesystems {
				// Nobody is always first: the order of the arms is the seed's.
				for _, k := range seeds.Perm(len(arms)) {
					a := arms[k]
					if !takes(sel.FS, fs) || !takes(sel.Arms, a.Name) {
						continue
					}
					cells := matrix(a, sel.Full, n)
					if i == 0 && rep == 0 {
						// What a real fault reports does not depend on how many
						// CPUs there are: one boot shows it.
						cells = append(cells, Cell{Scenario: Corruption, Point: "real faults", Queue: largest(a), Live: true})
					}
					for _, c := range cells {
						c.FS, c.CPUs, c.Arm = fs, n, a
						if !takes(sel.Scenarios, c.Scenario) || !wanted(c.ID()) {
							continue
						}
						c.Flood.Errno = fserr.EFSCORRUPTED
						c.Flood.Class = fserr.Metadata
						if c.Flood.Schedule == flood.Poisson {
							c.Flood.Seed = schedule
						}
						b.Cells = append(b.Cells, c)
					}
				}
			}
			if len(b.Cells) > 0 {
				b.ID = fmt.Sprintf("boot%d", len(p.Boots))
				p.Boots = append(p.Boots, b)
			}
		}
	}
	return p, nil
}

var filesystems = []string{"ext4", "xfs"}

// queue is one capacity to drive an arm at.
type queue struct{ size, filler uint64 }

// matrix returns the cells of one arm on one filesystem.
func matrix(a Arm, full bool, cpus int) []Cell {
	bursts := []uint64{1, 10, 100, 1000, 10_000, 100_000}
	queues := map[Channel][]queue{
		// A group that holds only errors does not fill: they merge. To fill it
		// the limit is lowered and all places but one, then all, are taken by
		// opens; the ring of a watch queue is treated alike, with keys.
		Fanotify:   {{16384, 0}, {16, 15}, {16, 16}},
		WatchQueue: {{512, 0}, {32, 0}, {32, 31}, {32, 32}},
	}
	gaps := []time.Duration{time.Millisecond, 100 * time.Microsecond, 10 * time.Microsecond, 3 * time.Microsecond, 2 * time.Microsecond, time.Microsecond, 0}
	paces := []time.Duration{10 * time.Millisecond}
	single, sweep := uint64(500), 50*time.Millisecond
	if full {
		bursts = []uint64{1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000}
		queues[Fanotify] = []queue{{16384, 0}, {1024, 0}, {16, 0}, {16, 8}, {16, 15}, {16, 16}}
		queues[WatchQueue] = []queue{{512, 0}, {256, 0}, {128, 0}, {32, 0}, {32, 16}, {32, 31}, {32, 32}}
		gaps = []time.Duration{10 * time.Millisecond, time.Millisecond, 300 * time.Microsecond, 100 * time.Microsecond, 50 * time.Microsecond, 30 * time.Microsecond,
			20 * time.Microsecond, 10 * time.Microsecond, 5 * time.Microsecond, 3 * time.Microsecond, 2 * time.Microsecond, time.Microsecond, 0}
		paces = []time.Duration{10 * time.Millisecond, time.Millisecond, 200 * time.Microsecond}
		single, sweep = 5000, 500*time.Millisecond
	}

	var cells []Cell
	for _, q := range queues[a.Channel] {
		for _, n := range bursts {
			point := fmt.Sprintf("queue=%d burst=%d", q.size, n)
			if q.filler > 0 {
				point = fmt.Sprintf("queue=%d filler=%d burst=%d", q.size, q.filler, n)
			}
			// A reporting thread on each CPU: fserror has a worker for each.
			cells = append(cells, Cell{Scenario: Overflow, Point: point, Queue: q.size, Filler: q.filler,
				Flood: flood.Spec{Count: n, Schedule: flood.Flat, Threads: cpus, CPUs: fmt.Sprintf("0-%d", cpus-1), Log: true}})
		}
	}
	for _, d := range paces {
		cells = append(cells, Cell{Scenario: Latency, Point: "pace=" + ascii(d), Queue: largest(a), Live: true, Realtime: true, Targets: 16,
			Flood: flood.Spec{Count: single, Schedule: flood.Poisson, Interval: d, PerInode: true, Log: true}})
	}
	for _, d := range gaps {
		// As many as fill the sweep's time: many slices of the scheduler, or
		// the loss would be an accident of one. Flat out costs about 2 us.
		n := max(500, uint64(sweep/max(d, 2*time.Microsecond)))
		c := Cell{Scenario: Loss, Point: "gap=" + ascii(d), Queue: largest(a), Live: true,
			Flood: flood.Spec{Count: n, Schedule: flood.Fixed, Interval: d, Log: true}}
		if d == 0 {
			c.Point, c.Flood.Schedule = "gap=flat", flood.Flat
		}
		cells = append(cells, c)
	}
	return cells
}

// ascii is d.String without the micro sign: points are part of file names.
func ascii(d time.Duration) string { return strings.ReplaceAll(d.String(), "µ", "u") }

// largest is the capacity that each channel has at its best in mainline: the
// default of fs.fanotify.max_queued_events, and watch_queue's limit.
func largest(a Arm) uint64 {
	if a.Channel == Fanotify {
		return 16384
	}
	return 512
}
