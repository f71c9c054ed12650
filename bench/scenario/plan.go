// SPDX-License-Identifier: MIT

package scenario

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"wqfan/bench/flood"
	"wqfan/fserr"
)

// Boot is a list of cells that share one boot.
type Boot struct {
	ID     string // unique in the plan
	Kernel Variant
	CPUs   int
	Cells  []Cell
}

// Plan is what a run does.
type Plan struct {
	Boots []Boot
}

// Kernels returns the kernels that the plan boots, in the order in which it does.
func (p Plan) Kernels() (vs []Variant) {
	for _, b := range p.Boots {
		if !slices.Contains(vs, b.Kernel) {
			vs = append(vs, b.Kernel)
		}
	}
	return vs
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
	Kernels   []Variant
	Scenarios []string
	Arms      []string
	FS        []string
	CPUs      []int
	Cells     []string // parts of cells' IDs, between slashes, of which a cell has one
	Full      bool     // the whole matrix rather than the quick one
	Boots     int      // repetitions, each with a schedule and an order of its own; 0 is 1
	Seed      uint64   // of the Poisson schedules and the order of the arms
}

var filesystems = []string{"ext4", "xfs", "tmpfs"}

// check refuses names that do not exist.
func (s Select) check() error {
	known := func(what string, have []string, want []string) error {
		for _, w := range want {
			if !slices.Contains(have, w) {
				return fmt.Errorf("no %s %q: have %s", what, w, strings.Join(have, ", "))
			}
		}
		return nil
	}
	var names, armNames []string
	for _, f := range families {
		names = append(names, f.Name)
	}
	for _, a := range arms {
		armNames = append(armNames, a.Name)
	}
	for _, n := range s.CPUs {
		if n < 1 {
			return fmt.Errorf("%d CPUs: a guest has at least one", n)
		}
	}
	for _, err := range []error{
		known("kernel", words(variants), words(s.Kernels)), known("scenario", names, s.Scenarios),
		known("arm", armNames, s.Arms), known("filesystem", filesystems, s.FS),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func words[T ~string](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

// takes says whether a selection has what it is asked for.
func takes[T comparable](have []T, v T) bool { return len(have) == 0 || slices.Contains(have, v) }

// New makes the plan for a selection: one boot for each kernel and number of
// CPUs, and that as often as it is to be repeated, so that what drifts on the
// host meets all of them. It refuses names that do not exist.
func New(sel Select) (Plan, error) {
	if err := sel.check(); err != nil {
		return Plan{}, err
	}
	cpus := []int{1, 2}
	if len(sel.CPUs) > 0 {
		cpus = slices.Compact(slices.Sorted(slices.Values(sel.CPUs)))
	}
	var p Plan
	for rep := range max(sel.Boots, 1) {
		seeds := rand.New(rand.NewPCG(sel.Seed, uint64(rep)))
		schedule := 1 + seeds.Uint64N(1<<32)
		for _, v := range variants {
			for i, n := range cpus {
				b := Boot{Kernel: v, CPUs: n}
				for _, fs := range filesystems {
					// Nobody is always first: the order of the arms is the seed's.
					for _, k := range seeds.Perm(len(arms)) {
						b.Cells = append(b.Cells, sel.cells(v, fs, n, arms[k], i == 0, schedule)...)
					}
				}
				if len(b.Cells) > 0 {
					b.ID = fmt.Sprintf("boot%d", len(p.Boots))
					p.Boots = append(p.Boots, b)
				}
			}
		}
	}
	return p, nil
}

// cells returns the cells of one arm on one filesystem in one boot. Fewest says
// that no guest has fewer CPUs.
func (s Select) cells(v Variant, fs string, cpus int, a Arm, fewest bool, schedule uint64) (cells []Cell) {
	if !takes(s.Kernels, v) || !a.runsOn(v, fs) || !takes(s.FS, fs) || !takes(s.Arms, a.Name) {
		return nil
	}
	for _, f := range families {
		switch {
		case !takes(s.Scenarios, f.Name),
			!slices.Contains(orElse(f.arms, compared), a.Name), !slices.Contains(orElse(f.fs, disks), fs),
			f.once && !fewest, f.more && !s.Full && len(s.Scenarios) == 0, !takes(f.on, v),
			f.ext4 && fs != "ext4" && !s.Full && !slices.Contains(s.FS, fs):
			continue
		}
		for _, c := range f.cells(a, place{fs, cpus, s.Full}) {
			c.Scenario, c.Kernel, c.FS, c.CPUs, c.Arm = f.Name, v, fs, cpus, a
			if s.wants(c.ID()) {
				cells = append(cells, c.seeded(schedule))
			}
		}
	}
	return cells
}

// seeded returns the cell with what a flood has where its family says nothing.
// Not every channel can be told of the same errors: fserror tells XFS's health
// monitor of file ranges only, and the log has what the filesystem itself
// reports.
func (c Cell) seeded(schedule uint64) Cell {
	c.Flood.Errno = fserr.EFSCORRUPTED
	c.Flood.Class = fserr.Metadata
	switch cmp.Or(c.Like, c.Arm.Channel) {
	case HealthMonitor:
		c.Flood.Class, c.Flood.PerInode, c.Targets = fserr.BufferedRead, true, max(c.Targets, 1)
	case KernelLog:
		c.Flood.Trigger, c.Flood.PerInode, c.Targets, c.Flood.Threads, c.Flood.CPUs = true, false, 0, 0, ""
	}
	c.Flood.Schedule = cmp.Or(c.Flood.Schedule, flood.Flat)
	if c.Flood.Schedule == flood.Poisson {
		c.Flood.Seed = schedule
	}
	return c
}

// Sizes is the plan that tries sizes of a watch queue, in one boot with one CPU:
// errors that come at random, on average so far apart, against a reader that
// looks at times and then takes all there is, or that takes a time for each; or,
// where it does neither, bursts of so many errors, evenly spread, against a reader
// that waits for them.
func Sizes(arm string, sizes []int, errors, burst uint64, apart, every, each time.Duration) (Plan, error) {
	i := slices.IndexFunc(arms, func(a Arm) bool { return a.Name == arm && a.Channel == WatchQueue })
	if i < 0 {
		return Plan{}, fmt.Errorf("%q is no arm whose queue has a size of its own: take wq or wq-base", arm)
	}
	a := arms[i]
	b := Boot{ID: "boot0", Kernel: a.Kernels[len(a.Kernels)-1], CPUs: 1}
	for _, k := range sizes {
		c := sizing(uint64(k), errors, apart, every)
		switch {
		case each > 0:
			c = serving(uint64(k), errors, apart, each)
		case every == 0:
			c.Point, c.Reader = fmt.Sprintf("queue=%d burst=%d in=%s", k, burst, ascii(apart*time.Duration(burst))), live
			c.Flood.Schedule, c.Flood.Burst, c.Flood.Gap = flood.Fixed, burst, 100*time.Millisecond
		}
		c.Scenario, c.Kernel, c.FS, c.CPUs, c.Arm = Sizing, b.Kernel, "ext4", b.CPUs, a
		b.Cells = append(b.Cells, c.seeded(1))
	}
	return Plan{Boots: []Boot{b}}, nil
}

// sizing is a queue of a size against a reader that empties it now and then.
func sizing(size, errors uint64, apart, every time.Duration) Cell {
	return Cell{Point: fmt.Sprintf("queue=%d gap=%s every=%s", size, ascii(apart), ascii(every)), Queue: size, Reader: Reader{Live: true, Realtime: true, Every: every},
		Flood: flood.Spec{Count: errors, Schedule: flood.Poisson, Interval: apart, Log: true}}
}

// serving is a queue of a size against a reader that takes so long for each error,
// one after the other.
func serving(size, errors uint64, apart, each time.Duration) Cell {
	return Cell{Point: fmt.Sprintf("queue=%d gap=%s each=%s", size, ascii(apart), ascii(each)), Queue: size,
		Reader: Reader{Live: true, Realtime: true, Each: each, Buffer: oneRecord},
		Flood:  flood.Spec{Count: errors, Schedule: flood.Poisson, Interval: apart, Log: true}}
}

// oneRecord is room for an error's record, which has 64 bytes on base and 80 with the
// series, and not for two (struct fs_error_notification,
// include/uapi/linux/watch_queue.h): what is not read stays in the queue.
const oneRecord = 100

// wants says whether the selection names a cell.
func (s Select) wants(id string) bool {
	return len(s.Cells) == 0 || slices.ContainsFunc(s.Cells, func(part string) bool { return strings.Contains("/"+id+"/", "/"+part+"/") })
}

func orElse(list, instead []string) []string {
	if list == nil {
		return instead
	}
	return list
}
