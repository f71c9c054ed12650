// SPDX-License-Identifier: MIT

// Package scenario declares what is measured, as data: the arms (channels as
// they are compared), the cells of each scenario, and the plans that `wqfan
// run` makes of them. It measures nothing itself.
package scenario

import "fmt"

// Channel is the kernel interface behind an arm.
type Channel string

// The two roads.
const (
	Fanotify   Channel = "fanotify"
	WatchQueue Channel = "watch_queue"
)

// Arm is one side of the comparison.
type Arm struct {
	Name     string
	Channel  Channel
	Deferred bool   // posted from fserror's worker; otherwise where the error happens
	About    string // one line for people
}

var arms = []Arm{
	{"fan", Fanotify, true, "mainline FAN_FS_ERROR"},
	{"wq-base", WatchQueue, false, "watch_queue, mainline queue semantics, posted where the error happens"},
	{"wq-base-worker", WatchQueue, true, "watch_queue, mainline queue semantics, posted from fserror's worker"},
}

// Arms returns all arms in the order in which reports show them.
func Arms() []Arm { return append([]Arm(nil), arms...) }

// ArmByName finds an arm.
func ArmByName(name string) (Arm, error) {
	for _, a := range arms {
		if a.Name == name {
			return a, nil
		}
	}
	return Arm{}, fmt.Errorf("no arm %q: `wqfan scenarios` lists them", name)
}
