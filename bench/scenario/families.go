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
	Sizing     = "sizing"
	Targets    = "targets"
	Price      = "price"
	Decode     = "decode"
)

// Polled ends the point of a cell of Targets whose channel is in an epoll set,
// that of Go's runtime.
const Polled = " epoll"

// Scenario is a family of cells: one question to every arm.
type Scenario struct {
	Name  string
	About string

	arms []string  // that it asks; nil: those of compared
	on   []Variant // kernels that it is asked on; nil: all that the arm is measured on
	fs   []string  // nil: those of disks
	once bool      // only in the guests with the fewest CPUs
	more bool      // only in the full matrix, or where it is asked for by name
	ext4 bool      // on other filesystems only in the full matrix, or where they are asked for by name

	// cells returns the cells for one arm in one place. The plan adds both.
	cells func(a Arm, at place) []Cell
}

// place is where the cells of an arm are measured, and how many there may be.
type place struct {
	fs   string
	cpus int
	full bool
}

// first says that the place is the one that the quick matrix is thorough at.
func (p place) first() bool { return p.full || p.fs == "ext4" }

var (
	compared = []string{"fan", "fan-detail", "wq-base", "wq-base-worker", "wq"}
	disks    = []string{"ext4", "xfs"}
	ext4     = []string{"ext4"} // for what does not depend on the filesystem

	// What there is without either road, where it can be told of the flood.
	baselines = []string{"healthmon", "kmsg", "kmsg-all"}
)

// All returns the scenarios in the order in which they run.
func All() []Scenario { return slices.Clone(families) }

// What one more in a queue takes of the kernel's memory, in bytes. Kmalloc() makes
// 256 of fanotify's event for an error, whether it tells of it in detail or not
// (struct fanotify_error_event), and a note has 128 in its ring
// (WATCH_QUEUE_NOTE_SIZE, kernel/watch_queue.c). The scenario memory measures
// both, and a test holds these against what it found last.
const (
	EventBytes = 256
	NoteBytes  = 128
)

const us = time.Microsecond

var (
	live    = Reader{Live: true}
	waiting = Reader{Live: true, Realtime: true}
)

var families = []Scenario{
	{Name: Overflow, About: "bursts of errors against a queue that nobody reads, at several queue sizes: what is kept, merged, lost, and signalled when",
		arms: slices.Concat([]string{"fan-honest"}, compared, baselines), cells: overflow},
	{Name: Latency, About: "single errors at a Poisson pace: from the moment each was due until user space has read it, and where the time goes",
		arms: slices.Concat(compared, baselines), cells: func(a Arm, at place) (cells []Cell) {
			n, paces := uint64(500), []time.Duration{10 * time.Millisecond}
			switch {
			case at.full:
				n, paces = 2000, []time.Duration{10 * time.Millisecond, time.Millisecond, 200 * us}
			case at.cpus > 1 && (!at.first() || a.baseline()):
				return nil
			}
			for _, d := range paces {
				cells = append(cells, paced(a, "pace="+ascii(d), n, d, waiting))
			}
			return cells
		}},
	{Name: Loss, About: "offered rate from idle to flat out against a live reader: delivered, coalesced, lost",
		arms: slices.Concat(compared, baselines), ext4: true, cells: loss},
	{Name: Corruption, About: "an ext4 directory and inode broken on disk, a failing device under XFS: do the channels name the right inode and errno",
		// What a real fault reports does not depend on how many CPUs there are.
		once: true, cells: func(a Arm, _ place) []Cell {
			return []Cell{{Point: "real faults", Queue: largest(a), Reader: live}}
		}},
	{Name: "baselines", About: "the same errors to all: made through ext4 itself, and of file ranges on XFS; a burst that nobody reads, and single ones",
		arms: append([]string{"fan", "wq-base"}, baselines...), on: []Variant{Base}, once: true, more: true,
		cells: func(a Arm, at place) []Cell {
			like := KernelLog
			if at.fs == "xfs" {
				like = HealthMonitor
			}
			cells := []Cell{{Point: "burst=1000", Queue: largest(a), Flood: burst(1000, 1)}, paced(a, "pace=10ms", 500, 10*time.Millisecond, live)}
			for i := range cells {
				cells[i].Like = like
			}
			return cells
		}},
	{Name: "chain", About: "errors with records longer than a note, against a full queue and a reader that is behind: which come whole, in part, not at all",
		arms: []string{"fan-detail", "wq", "wq-parts"}, fs: ext4, once: true,
		cells: each([]int{100, 400, 4096}, func(a Arm, n int) []Cell {
			f := flood.Spec{Count: 2000, Schedule: flood.Fixed, Interval: 10 * us, Blob: n, Log: true}
			return []Cell{
				{Point: fmt.Sprintf("blob=%d reader=none", n), Queue: 512, Flood: f},
				{Point: fmt.Sprintf("blob=%d reader=1ms", n), Queue: 512, Reader: Reader{Live: true, Every: time.Millisecond}, Flood: f},
			}
		})},
	{Name: "filter", About: "a hundred errors of one class after a flood of another that nobody reads: kept out by it, or not",
		arms: []string{"fan-detail", "wq-base", "wq"}, fs: ext4, once: true,
		cells: func(a Arm, _ place) []Cell {
			c := Cell{Point: "keep=nothing", Queue: 512, Noise: 100_000, Flood: flood.Spec{Count: 100, Log: true}}
			cells := []Cell{c}
			if a.Channel == WatchQueue {
				c.Point, c.Filter = "keep=class", true
				cells = append(cells, c)
			}
			if a.Honest {
				c.Point, c.Filter, c.Reserve = "keep=reserve", false, 128
				cells = append(cells, c)
			}
			return cells
		}},
	{Name: "scope", About: "a reader without privileges, and errors of sixteen files of which it holds one open: it is told of that one's and of nothing else",
		arms: []string{"fan", "fan-detail", "wq"}, on: []Variant{Patched}, once: true,
		cells: func(a Arm, _ place) []Cell {
			return []Cell{{Point: "files=16", Queue: largest(a), Own: true, Targets: 16, Flood: flood.Spec{Count: 1600, PerInode: true, Log: true}}}
		}},
	{Name: "inodes", About: "a burst of errors of sixteen files that nobody reads: which of them are named",
		arms: []string{"fan", "fan-detail", "wq"}, on: []Variant{Patched}, fs: ext4, once: true,
		cells: func(a Arm, _ place) []Cell {
			return []Cell{{Point: "files=16 burst=1000", Queue: largest(a), Targets: 16, Flood: flood.Spec{Count: 1000, PerInode: true, Log: true}}}
		}},
	{Name: "context", About: "reports from tasks, with interrupts off, and from soft and hard interrupts",
		on: []Variant{Patched}, // the injector of base has no softirq
		fs: ext4, more: true, cells: each([]string{"task", "irqoff", "softirq", "hardirq"}, func(a Arm, context string) []Cell {
			f := burst(400, 1)
			f.Atomic, f.Context = true, context
			return []Cell{{Point: "context=" + context, Queue: largest(a), Flood: f}}
		})},
	{Name: Targets, About: "what a report, its record and a full ring cost, beside a raw pipe",
		arms: append([]string{"none"}, compared...), on: []Variant{Base, Patched},
		once: true, cells: func(a Arm, at place) []Cell {
			// Out of the poller of Go's runtime, which each post would call.
			c := Cell{Point: "ring=512", Queue: 512, Reader: Reader{Realtime: true},
				Flood: flood.Spec{Count: 1, Schedule: flood.Poisson, Interval: 5 * time.Millisecond, Log: true}}
			polled := c
			polled.Point, polled.Reader = c.Point+Polled, Reader{}
			switch {
			case !at.first() && !slices.Contains([]string{"fan", "wq-base", "wq"}, a.Name):
				return nil
			case !at.first():
				return []Cell{c, polled}
			case a.Channel == Nothing:
				return []Cell{c}
			}
			return []Cell{c, polled, paced(a, "reader=waits", 200, 10*time.Millisecond, waiting)}
		}},
	{Name: Price, About: "what it costs when nobody watches: an ext4 error and a key update on each kernel",
		arms: []string{"none"}, fs: ext4, once: true, cells: func(Arm, place) []Cell { return []Cell{{Point: "watchers=0"}} }},
	{Name: Decode, About: "what a record costs to decode, in Go and in C",
		arms: []string{"fan", "wq"}, on: []Variant{Patched}, fs: ext4, once: true, cells: func(a Arm, _ place) []Cell {
			return []Cell{{Point: "record=inode", Queue: largest(a), Targets: 1, Flood: flood.Spec{Count: 1, PerInode: true}}}
		}},
	{Name: "cost", About: "what a report costs its reporter: nobody watches, a channel that watches something else, one with room, one that is full",
		arms: append([]string{"none"}, compared...), on: []Variant{Base, Patched}, fs: ext4, more: true, cells: func(a Arm, at place) []Cell {
			f := burst(400, 1)
			if a.Channel == Nothing {
				return []Cell{{Point: "watcher=none", Flood: f}}
			}
			return []Cell{
				{Point: "watcher=idle", Queue: largest(a), Idle: true, Flood: f},
				{Point: "watcher=room", Queue: largest(a), Flood: f},
				{Point: "watcher=full", Queue: 32, Filler: 32, Flood: f},
			}
		}},
	{Name: "watchers", About: "several channels that watch one filesystem: what a report costs, and each closes its account",
		fs: ext4, more: true, cells: each([]int{1, 2, 4, 8, 16}, func(a Arm, n int) []Cell {
			return []Cell{{Point: fmt.Sprintf("watchers=%d", n), Queue: largest(a), Watchers: n, Flood: burst(400, 1)}}
		})},
	{Name: "filesystems", About: "errors that go round several filesystems, which one channel watches and nobody reads",
		fs: []string{"ext4", "tmpfs"}, more: true, cells: each([]int{1, 4, 16, 64}, func(a Arm, n int) []Cell {
			return []Cell{{Point: fmt.Sprintf("filesystems=%d", n), Queue: largest(a), Mounts: n, Flood: burst(6400, 1)}}
		})},
	{Name: "reader", About: "readers that wait in Go's poller, in ppoll or in read itself, look now and then, work on each event, stand still, or take little at a time",
		fs: ext4, more: true, cells: each([]Reader{
			live, waiting, {Live: true, Realtime: true, Blocking: true}, {Live: true, Buffer: 512}, {Live: true, Buffer: 4096},
			{Live: true, Every: time.Millisecond}, {Live: true, Every: 20 * time.Millisecond},
			{Live: true, Work: 50 * us}, {Live: true, Work: 200 * us}, {Live: true, Realtime: true, Stall: 50 * time.Millisecond},
		}, func(a Arm, r Reader) []Cell { return []Cell{paced(a, r.point(), 2000, 100*us, r)} })},
	{Name: "producers", About: "threads that report, and a reader, on one CPU or on several",
		fs: ext4, more: true, cells: func(a Arm, at place) (cells []Cell) {
			for _, n := range []int{1, 2, 4} {
				for _, on := range []string{"0", "1", "0-1"}[:min(1+2*(at.cpus-1), 3)] {
					r := waiting
					r.CPU = "0"
					c := paced(a, fmt.Sprintf("producers=%d on=%s reader=0", n, on), 2000, 100*us, r)
					c.Flood.Threads, c.Flood.CPUs = n, on
					cells = append(cells, c)
				}
			}
			return cells
		}},
	{Name: "readers", About: "several readers, each of a channel of its own, on the CPU of the thread that reports or on another",
		fs: ext4, more: true, cells: func(a Arm, at place) (cells []Cell) {
			for _, n := range []int{1, 2, 4, 8} {
				for _, cpu := range []string{"0", "1"}[:min(at.cpus, 2)] {
					r := waiting
					r.CPU = cpu
					c := paced(a, fmt.Sprintf("readers=%d on=%s reporter=0", n, cpu), 1000, 200*us, r)
					c.Watchers, c.Flood.CPUs = n, "0"
					cells = append(cells, c)
				}
			}
			return cells
		}},
	{Name: "bursts", About: "bursts of errors and silence in turn, against a live reader",
		fs: ext4, more: true, cells: each([]uint64{10, 100, 1000}, func(a Arm, n uint64) []Cell {
			c := paced(a, fmt.Sprintf("burst=%d off=10ms", n), 20*n, 2*us, waiting)
			c.Flood.Schedule, c.Flood.Burst, c.Flood.Gap = flood.Fixed, n, 10*time.Millisecond
			return []Cell{c}
		})},
	{Name: "size", About: "errors with records of the filesystem's own, up to 4 KiB: latency and cost",
		arms: []string{"fan-detail", "wq"}, fs: ext4, more: true, cells: each([]int{0, 16, 104, 512, 1024, 4096}, func(a Arm, n int) []Cell {
			c := paced(a, fmt.Sprintf("blob=%d", n), 500, time.Millisecond, waiting)
			c.Flood.Blob = n
			u := Cell{Point: c.Point + " reader=none", Queue: 2048, Flood: burst(40, 1)}
			u.Flood.Blob = n
			return []Cell{c, u}
		})},
	{Name: Sizing, About: "queues of several sizes, errors at random, and a reader that empties them every 20 ms, or that takes 100 us for each: loss by queue theory, and loss",
		arms: []string{"wq-base", "wq"}, fs: ext4, once: true, more: true, cells: func(Arm, place) (cells []Cell) {
			for _, n := range []uint64{64, 128, 256, 320, 352, 384, 416, 448, 512} {
				cells = append(cells, sizing(n, 20_000, 50*us, 20*time.Millisecond))
			}
			for _, gap := range []time.Duration{105 * us, 100 * us, 95 * us} {
				for _, n := range []uint64{32, 64, 128} {
					cells = append(cells, serving(n, 20_000, gap, 100*us))
				}
			}
			return cells
		}},
	{Name: "search", About: "the highest rate without loss (NDR), with at most 0.5 % (PDR), and with each error in detail, and the longest burst that a live reader loses nothing of; brackets of 5 %",
		fs: ext4, more: true, cells: each([]Search{
			{Over: Rate, From: 1000, To: 1_000_000, Width: 0.05, Trial: 50 * time.Millisecond},
			{Over: Rate, From: 1000, To: 1_000_000, Width: 0.05, Trial: 50 * time.Millisecond, Loss: 0.005},
			{Over: Rate, From: 1000, To: 1_000_000, Width: 0.05, Trial: 50 * time.Millisecond, Detail: true},
			{Over: Burst, From: 16, To: 100_000, Width: 0.05},
		}, func(a Arm, s Search) []Cell {
			return []Cell{{Point: s.point(), Queue: largest(a), Reader: live, Search: s, Flood: flood.Spec{Log: true}}}
		})},
	{Name: "capacity", About: "bursts against channels of the same capacity: as many events, and as many bytes of the kernel's memory; an event of fan stands for all errors of a burst, which no capacity changes",
		arms: []string{"fan", "fan-detail", "wq-base", "wq"}, fs: ext4, once: true, more: true,
		cells: each([]uint64{256, 512, 1024}, func(a Arm, n uint64) []Cell {
			const notes = 512 // the most that all of them can have
			bytes := uint64(notes)
			if a.Channel == Fanotify {
				bytes = notes * NoteBytes / EventBytes
			}
			return []Cell{
				{Point: fmt.Sprintf("same=events queue=%d burst=%d", notes, n), Queue: notes, Flood: burst(n, 1)},
				{Point: fmt.Sprintf("same=bytes queue=%d burst=%d", bytes, n), Queue: bytes, Flood: burst(n, 1)},
			}
		})},
	{Name: "memory", About: "what open channels take of the guest's memory, and what they queue",
		fs: ext4, once: true, more: true, cells: func(a Arm, _ place) []Cell {
			n := largest(a)
			if a.Honest {
				n = 16384
			}
			return []Cell{{Point: fmt.Sprintf("queue=%d channels=16", n), Queue: n, Watchers: 16, Memory: true, Flood: burst(n, 1)}}
		}},
}

// each makes the cells of a family of what varies in it.
func each[T any](points []T, cells func(a Arm, v T) []Cell) func(Arm, place) []Cell {
	return func(a Arm, _ place) (all []Cell) {
		for _, v := range points {
			all = append(all, cells(a, v)...)
		}
		return all
	}
}

// queue is one capacity to drive an arm at.
type queue struct{ size, filler uint64 }

func overflow(a Arm, at place) []Cell {
	bursts := []uint64{1, 100, 1000, 100_000}
	if a.baseline() {
		switch bursts[3] = 10_000; {
		case at.full:
		case at.cpus > 1:
			return nil
		case !a.Freely:
			bursts = bursts[:3]
		}
		var cells []Cell
		for _, n := range bursts {
			cells = append(cells, Cell{Point: fmt.Sprintf("burst=%d", n), Queue: largest(a), Flood: burst(n, at.cpus)})
		}
		return cells
	}
	queues := map[Channel][]queue{
		// A group that holds only errors that merge does not fill. To fill it
		// the limit is lowered and all places but one, then all, are taken by
		// opens; the ring of a watch queue is treated alike, with keys.
		Fanotify:   {{16384, 0}, {16, 15}, {16, 16}},
		WatchQueue: {{512, 0}, {32, 31}, {32, 32}},
	}
	large := a.Honest && a.Channel == WatchQueue // no ring of mainline's has as many, and none counts its losses
	if large {
		queues[WatchQueue] = slices.Insert(queues[WatchQueue], 0, queue{16384, 0})
	}
	switch {
	case at.full:
		bursts = []uint64{1, 10, 100, 1000, 10_000, 100_000}
		queues[Fanotify] = []queue{{16384, 0}, {1024, 0}, {512, 0}, {16, 0}, {16, 8}, {16, 15}, {16, 16}}
		queues[WatchQueue] = append(queues[WatchQueue], queue{256, 0}, queue{128, 0}, queue{32, 0}, queue{32, 16})
	case !at.first():
		queues[a.Channel] = queues[a.Channel][:1]
	}
	if large && at.first() && (at.cpus == 1 || at.full) {
		bursts = append(bursts, 1_000_000)
	}
	if a.Honest && a.Channel == Fanotify && !at.full && at.cpus > 1 {
		return nil
	}
	var cells []Cell
	for i, q := range queues[a.Channel] {
		for _, n := range bursts {
			if i > 0 && !at.full && n > 1000 && q.size != 512 || n == 1_000_000 && i > 0 {
				continue // the largest queue shows what they are for
			}
			point := fmt.Sprintf("queue=%d burst=%d", q.size, n)
			if q.filler > 0 {
				point = fmt.Sprintf("queue=%d filler=%d burst=%d", q.size, q.filler, n)
			}
			cells = append(cells, Cell{Point: point, Queue: q.size, Filler: q.filler, Flood: burst(n, at.cpus)})
		}
	}
	return cells
}

func loss(a Arm, at place) []Cell {
	gaps := []time.Duration{100 * us, 10 * us, 3 * us, 2 * us, us, 0}
	sweep, flat := 40*time.Millisecond, 2*us // an error costs about that much, flat out
	switch {
	case !at.full && at.cpus > 1 && a.baseline():
		return nil
	case !at.full && at.cpus > 1: // emulated CPUs have no rates
		gaps = []time.Duration{10 * us, 0}
	case at.full:
		gaps = []time.Duration{10 * time.Millisecond, time.Millisecond, 300 * us, 100 * us, 50 * us, 30 * us,
			20 * us, 10 * us, 5 * us, 3 * us, 2 * us, us, 0}
		sweep = 200 * time.Millisecond
	}
	if a.Channel == KernelLog { // no program makes errors faster
		flat = 10 * us
		gaps = slices.DeleteFunc(gaps, func(d time.Duration) bool { return d > 0 && d < flat })
	}
	var cells []Cell
	for _, d := range gaps {
		// As many as fill the sweep's time: many slices of the scheduler, or
		// the loss would be an accident of one.
		n := max(500, uint64(sweep/max(d, flat)))
		c := Cell{Point: "gap=" + ascii(d), Queue: largest(a), Reader: live, Course: d <= us,
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
// fs.fanotify.max_queued_events, and watch_queue's limit in mainline, which is
// the health monitor's too. That of the log is in bytes, and not its readers'.
func largest(a Arm) uint64 {
	switch a.Channel {
	case Fanotify:
		return 16384
	case KernelLog:
		return 0
	}
	return 512
}
