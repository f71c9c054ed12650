// SPDX-License-Identifier: MIT

// Package scenario declares what is measured, as data: the kernels and the arms
// (channels as they are compared), the families of cells, and the plans that
// `wqfan run` makes of them. It measures nothing itself.
package scenario

import "slices"

// Variant is how much of the series a kernel has.
type Variant string

// The kernels that a plan boots.
const (
	Stock   Variant = "stock"   // nothing of it: what the others' price is told from
	Base    Variant = "base"    // what is needed to measure mainline's channels: a source, counters, an injector
	Patched Variant = "patched" // the whole series
)

var variants = []Variant{Stock, Base, Patched}

// Channel is the kernel interface behind an arm.
type Channel string

// The two roads, and none.
const (
	Fanotify   Channel = "fanotify"
	WatchQueue Channel = "watch_queue"
	Nothing    Channel = "" // nobody watches
)

// What people use where they have neither: the baselines.
const (
	HealthMonitor Channel = "healthmon" // XFS's own
	KernelLog     Channel = "kmsg"
)

// Arm is one side of the comparison.
type Arm struct {
	Name     string
	Channel  Channel
	Deferred bool      // posted from fserror's worker; otherwise where the error happens
	Detail   bool      // fanotify: a record of its own for each error, with all that fserror knows
	Honest   bool      // fanotify: merge when full, count what is dropped; watch_queue: count losses and tell them at once
	Whole    bool      // watch_queue: a record longer than a note is posted whole or not at all
	Freely   bool      // the kernel's log: the filesystem writes all its lines, and does not limit their rate
	Kernels  []Variant // that it is measured on
	FS       []string  // filesystems that it tells of; nil is all
	About    string    // one line for people
}

// runsOn says whether the arm is measured on a kernel and a filesystem.
func (a Arm) runsOn(v Variant, fs string) bool {
	return slices.Contains(a.Kernels, v) && takes(a.FS, fs)
}

// baseline says that the arm is one of those that people have without the two roads.
func (a Arm) baseline() bool { return a.Channel == HealthMonitor || a.Channel == KernelLog }

// fan is in every boot with a channel: the yardstick.
var arms = []Arm{
	{Name: "fan", Channel: Fanotify, Deferred: true, Kernels: []Variant{Base, Patched},
		About: "mainline FAN_FS_ERROR"},
	{Name: "fan-detail", Channel: Fanotify, Deferred: true, Detail: true, Kernels: []Variant{Patched},
		About: "fanotify with detailed records, where errors that differ are not merged, as proposed in 2021"},
	{Name: "fan-honest", Channel: Fanotify, Deferred: true, Honest: true, Kernels: []Variant{Patched},
		About: "FAN_FS_ERROR that merges when the queue is full and counts what it drops"},
	{Name: "wq-base", Channel: WatchQueue, Kernels: []Variant{Base},
		About: "watch_queue, mainline queue semantics, posted where the error happens"},
	{Name: "wq-base-worker", Channel: WatchQueue, Deferred: true, Kernels: []Variant{Base},
		About: "watch_queue, mainline queue semantics, posted from fserror's worker"},
	{Name: "wq", Channel: WatchQueue, Honest: true, Whole: true, Kernels: []Variant{Patched},
		About: "watch_queue as the series makes it: exact losses told at once, larger rings, long records whole or not at all"},
	{Name: "wq-parts", Channel: WatchQueue, Honest: true, Kernels: []Variant{Patched},
		About: "the same, but each part of a long record may be lost by itself"},
	{Name: "healthmon", Channel: HealthMonitor, Deferred: true, Kernels: []Variant{Base}, FS: []string{"xfs"},
		About: "XFS's health monitor (XFS only): errors of file ranges, 512 of them; counts what it loses, and tells with the next event"},
	{Name: "kmsg", Channel: KernelLog, Kernels: []Variant{Base}, FS: []string{"ext4"},
		About: "the kernel's log as it is (ext4 only, errors made through ext4 itself): ten lines in five seconds"},
	{Name: "kmsg-all", Channel: KernelLog, Freely: true, Kernels: []Variant{Base}, FS: []string{"ext4"},
		About: "the kernel's log without ext4's rate limit"},
	{Name: "none", Kernels: variants,
		About: "nobody watches"},
}

// Arms returns all arms in the order in which reports show them.
func Arms() []Arm { return slices.Clone(arms) }
