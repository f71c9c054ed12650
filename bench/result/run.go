// SPDX-License-Identifier: MIT

// Package result is the record of a run: run.json, the raw HDR logs beside it
// and bench.txt in Go's benchmark format. It is the only thing that analysis
// reads, so every table and every plot can be made again without a guest.
package result

import (
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wqfan/fserr"
)

// Schema is the version of run.json. It changes when the meaning of a field
// does; readers refuse a newer one, and read schema 2, which called lost
// silently what was told of elsewhere, as if it were this. As far as its
// timelines tell, that is: none is compared with one of another schema.
const Schema = 3

// Run is what one `wqfan run` did.
type Run struct {
	Schema   int       `json:"schema"`            // as it was recorded
	Complete bool      `json:"complete"`          // every planned cell was measured
	Reason   string    `json:"why,omitempty"`     // why it is not complete
	Started  time.Time `json:"started"`           // host time, UTC, whole seconds
	Command  []string  `json:"command"`           // what was asked for, as typed after the program's name, less where the record goes
	Plan     string    `json:"plan,omitempty"`    // hash of what was planned
	Shard    string    `json:"shard,omitempty"`   // "2/3": this is the record of a part of the plan
	Planned  int       `json:"planned"`           // cells in the plan, or in its part
	WallSecs float64   `json:"wall_s,omitempty"`  // host seconds from the first disk to the last cell, without kernels and report; 0 unknown, as of joined parts
	AtOnce   int       `json:"at_once,omitempty"` // guests that ran at the same time at most
	Host     Host      `json:"host"`
	Boots    []Boot    `json:"boots"`
	Cells    []Cell    `json:"cells"`
}

// Host is the machine that ran the guests.
type Host struct {
	Kernel   string `json:"kernel"` // uname -r
	CPU      string `json:"cpu"`    // model name
	CPUs     int    `json:"cpus"`
	Go       string `json:"go"` // runtime.Version
	QEMU     string `json:"qemu"`
	Revision string `json:"revision,omitempty"` // git revision of wqfan, "+dirty" when changed
	KVM      string `json:"kvm"`                // "boots", or why it is not used
}

// Mode is how guest time was made, which decides what a number means.
type Mode string

// The modes. Only KVM and Native give nanoseconds of hardware.
const (
	KVM    Mode = "kvm"
	Native Mode = "host"
	TCG    Mode = "tcg"    // emulated on several threads: ratios and loss semantics only
	ICount Mode = "icount" // one CPU, one instruction per unit of guest time
)

// Unit names one unit of guest time in this mode.
func (m Mode) Unit() string {
	switch m {
	case ICount:
		return "instructions"
	case TCG:
		return "emulated ns"
	}
	return "ns"
}

// Kernel is what was booted.
type Kernel struct {
	Release string `json:"release"` // uname -r in the guest
	Variant string `json:"variant"` // stock, base, patched, or given: an image of the user's
	Base    string `json:"base"`    // version the series was applied to, with the source's own revision
	Series  string `json:"series"`  // hash of the patches applied, "" for none
	Config  string `json:"config"`  // hash of the final .config
	CC      string `json:"cc"`      // compiler
	Cmdline string `json:"cmdline"` // /proc/cmdline in the guest
}

// Boot is one boot of one kernel, the unit of repetition.
type Boot struct {
	ID       string      `json:"id"`
	Mode     Mode        `json:"mode"`
	CPUs     int         `json:"cpus"`
	MemMiB   int         `json:"mem_mib"`
	Kernel   Kernel      `json:"kernel"`
	QEMU     []string    `json:"qemu"`             // arguments, files by base name
	Serial   string      `json:"serial,omitempty"` // serial log in the run's directory
	Clock    Calibration `json:"clock"`
	Guest    Environment `json:"guest"`
	Host     Environment `json:"host"`
	Verdict  string      `json:"verdict"` // ok, or what ended the boot
	WallSecs float64     `json:"wall_s"`  // host seconds
}

// Calibration is what the clock and an empty read cost in this boot, in the
// mode's unit.
type Calibration struct {
	ReadP50    int64 `json:"read_p50"`   // one clock_gettime(CLOCK_MONOTONIC)
	Resolution int64 `json:"resolution"` // smallest step of the clock that was seen
	EmptyFan   int64 `json:"empty_fan"`  // read() of an empty fanotify group, median; -1 not measured
	EmptyWQ    int64 `json:"empty_wq"`   // read() of an empty watch queue, median; -1 not measured
}

// Environment is what of a machine decides how fast it is, and is not its model.
// What a machine does not tell is absent.
type Environment struct {
	Mitigations []string `json:"mitigations,omitempty"` // of the vulnerabilities that its processor has
	Governor    string   `json:"governor,omitempty"`    // of the frequency of CPU 0
	Clocksource string   `json:"clocksource,omitempty"`
	Pinned      string   `json:"pinned,omitempty"` // CPUs that the emulator, or the driver in a guest, is bound to
	Load        float64  `json:"load"`             // tasks that ran or wanted to, over a minute, when the boot ended
	Steal       float64  `json:"steal_s"`          // seconds of all CPUs that a hypervisor gave to others, during the boot
}

// Params are what a cell was asked to do.
type Params struct {
	Errors   uint64 `json:"errors"`             // errors to make
	Schedule string `json:"schedule"`           // flat (closed loop), fixed, poisson (open loop), or real
	Interval int64  `json:"interval,omitempty"` // mean gap between errors in units of guest time
	Burst    uint64 `json:"burst,omitempty"`
	Gap      int64  `json:"gap,omitempty"`
	Seed     uint64 `json:"seed,omitempty"`
	Class    string `json:"class,omitempty"`
	Errno    string `json:"errno,omitempty"`
	Scope    string `json:"scope,omitempty"`   // fs or inode
	Targets  int    `json:"targets,omitempty"` // inodes or filesystems that the errors stride over
	Threads  int    `json:"threads,omitempty"`
	CPUs     string `json:"cpus,omitempty"`     // cpulist of the reporting threads
	Context  string `json:"context,omitempty"`  // task, irqoff, hardirq
	Queue    uint64 `json:"queue,omitempty"`    // capacity asked for: notes, or max_queued_events
	Filler   uint64 `json:"filler,omitempty"`   // other events put into the same group or queue
	Mounts   int    `json:"mounts,omitempty"`   // filesystems that the errors go round
	Watchers int    `json:"watchers,omitempty"` // channels side by side; the cell is about the first
	Blob     int    `json:"blob,omitempty"`     // bytes of the filesystem's own record
	Noise    uint64 `json:"noise,omitempty"`    // errors of another class before the flood
	Reserve  uint64 `json:"reserve,omitempty"`  // places kept for the flood's class
	Every    int64  `json:"every,omitempty"`    // units of guest time between two looks of a reader that looks now and then
	Each     int64  `json:"each,omitempty"`     // units of guest time that a reader takes for each error, one after the other
	Source   string `json:"source,omitempty"`   // what made the errors, where it was not the injector
	Reader   string `json:"reader"`             // unread (starts when all is reported), or live, and how
}

// Cell is one scenario with one set of parameters on one channel: the smallest
// thing that is measured.
type Cell struct {
	ID       string `json:"id"` // scenario/kernel/fs/cpus/arm/point, unique in the boot
	Scenario string `json:"scenario"`
	Variant  string `json:"variant,omitempty"` // how much of the series the kernel has: stock, base, patched; "" in schema 1: what is base now
	Arm      string `json:"arm"`
	FS       string `json:"fs"`
	CPUs     int    `json:"cpus"`
	Point    string `json:"point"` // what varies within the scenario: "burst=1000 queue=512"
	Boot     string `json:"boot"`  // Boot.ID
	Params   Params `json:"params"`

	Account fserr.Account  `json:"account"`
	Noise   *fserr.Account `json:"account_noise,omitempty"` // of the errors of another class that came before
	Kernel  Counters       `json:"kernel"`
	Reader  Reader         `json:"reader"`
	Flood   Flood          `json:"flood"`
	Hists   []Hist         `json:"hists,omitempty"`
	Memory  *Memory        `json:"memory,omitempty"`
	Search  *Search        `json:"search,omitempty"`

	Timeline *Timeline `json:"timeline,omitempty"` // only in cells with a live reader: with losses, or of the fastest floods

	Events   []string `json:"events,omitempty"`   // what was read, in words: only in cells of real corruption
	Warnings []string `json:"warnings,omitempty"` // travel with every number of this cell
	Err      string   `json:"error,omitempty"`    // why the cell failed; its numbers are then evidence, not results
}

// Hist returns the histogram of that name which has values, or nil.
func (c *Cell) Hist(name string) *Hist {
	for i := range c.Hists {
		if h := &c.Hists[i]; h.Name == name && h.N > 0 {
			return h
		}
	}
	return nil
}

// Counters are the kernel's side of the account, from the channel's fdinfo.
type Counters struct {
	Source   string `json:"source"` // where they were read, or why they are missing
	Known    bool   `json:"known"`
	Posted   uint64 `json:"posted"`           // records queued
	Merged   uint64 `json:"merged,omitempty"` // added to a queued record's count
	Filtered uint64 `json:"filtered,omitempty"`
	Dropped  uint64 `json:"dropped"`
	Parts    uint64 `json:"parts_lost,omitempty"` // parts of records, of errors that were not lost
}

// Memory is how much more of the guest's memory a channel made the kernel use, in
// bytes.
type Memory struct {
	Open   int64 `json:"open"`   // to open it
	Queued int64 `json:"queued"` // and then for what was queued
}

// Search is what a search for the highest load without too much loss found.
type Search struct {
	Over   string  `json:"over"`   // rate: errors per second of guest time; burst: errors flat out
	Loss   float64 `json:"loss"`   // share of the errors that might be lost
	Detail bool    `json:"detail"` // errors known by count only were lost, too
	Passed float64 `json:"passed"` // the most that passed, 0 for none
	Failed float64 `json:"failed"` // the least that failed, 0 for none up to what can be offered
	Trials []Trial `json:"trials"`
}

// Trial is one flood of a search.
type Trial struct {
	Asked float64 `json:"asked"`
	Made  float64 `json:"made"`           // what the injector achieved of a rate
	Late  bool    `json:"late,omitempty"` // the injector was later than its bound, see [Cell.Late]
	Lost  float64 `json:"lost"`           // share of the errors
}

// Reader is user space's side of the account.
type Reader struct {
	Records    uint64 `json:"records"`                  // error records read
	Whole      uint64 `json:"whole,omitempty"`          // of them, with the filesystem's own record
	Broken     uint64 `json:"broken,omitempty"`         // of them, with a part of that only
	Fragments  uint64 `json:"fragments,omitempty"`      // parts of records whose errors were lost
	Counted    uint64 `json:"counted"`                  // sum of their counts
	Others     uint64 `json:"others,omitempty"`         // records of other kinds (filler)
	Workers    uint64 `json:"workers,omitempty"`        // different tasks that reported them, where the channel names the task
	Reads      uint64 `json:"reads"`                    // read() calls that returned data
	LossEvents uint64 `json:"loss_events"`              // records that said something was lost
	LossCount  uint64 `json:"loss_count"`               // what they said; 0 when they do not count
	LossExact  bool   `json:"loss_exact"`               // they carry a count
	Elsewhere  uint64 `json:"told_elsewhere,omitempty"` // lost errors that they told of, but not between the records around them; 0 where records have no sequence number or several workers delivered them
	Placed     bool   `json:"placed"`                   // each loss was held against the signals around it; otherwise the split into signalled and silent rests on the channel's guarantee
	LossAfter  int64  `json:"loss_after"`               // events read before the first of them; -1 when none came
	LossDelay  int64  `json:"loss_delay"`               // first loss → reader told, in units of guest time; -1 unknown
	FirstLost  int64  `json:"first_lost"`               // sequence number of the first lost error, from 0; -1 unknown or none
	Gaps       uint64 `json:"gaps,omitempty"`           // errors missing by sequence number, where the channel has one
	HighWater  uint64 `json:"high_water,omitempty"`
}

// Flood is the injector's own account.
type Flood struct {
	Attempted uint64  `json:"attempted"`
	Accepted  uint64  `json:"accepted"`
	Refused   uint64  `json:"refused"`
	Elapsed   int64   `json:"elapsed"`  // units of guest time
	LateMax   int64   `json:"late_max"` // units of guest time
	Rate      float64 `json:"rate"`     // errors per second of guest time that were really offered
}

// Timeline is how far a live reader was behind while errors came. What is
// queued at an instant is Reported - Read - Lost.
type Timeline struct {
	At       []int64  `json:"at"`             // units of guest time since the first error, rising
	Reported []uint64 `json:"reported"`       // errors that were reported by then
	Read     []uint64 `json:"read"`           // errors that had reached the reader by then, in detail or by count
	Lost     []uint64 `json:"lost,omitempty"` // errors reported by then that never reached it; nil where records have no sequence number
	Signals  []Signal `json:"signals"`        // the first MaxSignals
}

// MaxSignals is how many signals of a loss a [Timeline] has at most.
const MaxSignals = 1000

// Signal is the moment when the reader was told of a loss.
type Signal struct {
	At    int64  `json:"at"`              // units of guest time since the first error
	Count uint64 `json:"count,omitempty"` // what it said; 0 where it does not count
}

// Late begins the warning of a cell whose errors did not come when they were
// due: its times are of another load than the one asked for.
const Late = "invalid: the injector was late"

// Late says that the cell's errors did not come when they were due.
func (c *Cell) Late() bool {
	return slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.HasPrefix(w, Late) })
}

// IntendedToRead is the histogram of the time from when an error was due until
// it was read.
const IntendedToRead = "intended-to-read"

// Hist is a histogram of one quantity; the raw data is an HDR log in the run's
// directory.
type Hist struct {
	Name string  `json:"name"` // intended-to-read, lateness, report-cost
	File string  `json:"file,omitempty"`
	Unit string  `json:"unit"`
	N    int64   `json:"n"`
	Min  int64   `json:"min"`
	P50  int64   `json:"p50"`
	P90  int64   `json:"p90"`
	P99  int64   `json:"p99"`
	P999 int64   `json:"p999"`
	Max  int64   `json:"max"`
	Mean float64 `json:"mean"`
	// Windows are the medians of consecutive parts of the values, as many in
	// each, in the order of the errors: what a histogram forgets.
	Windows []int64 `json:"windows,omitempty"`
	// Encoded is the compressed HDR payload on its way from the guest to the
	// host, which moves it into File.
	Encoded string `json:"encoded,omitempty"`
	// Data is the raw data, once Load has read File, of a range no wider than
	// its values take.
	Data *hdrhistogram.Histogram `json:"-"`
	// Highest is what File's range ends with, which is no value.
	Highest int64 `json:"-"`
}
