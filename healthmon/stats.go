// SPDX-License-Identifier: MIT

package healthmon

import (
	"bytes"
	"errors"
	"fmt"
)

// Stats says what became of the events that XFS had for the monitor, since
// Open. What was merged into another event is counted nowhere.
type Stats struct {
	Queued uint64 // went in: errors, and Running, Lost and Unmount themselves
	Lost   uint64 // found the queue full; Lost events tell of them later, or never
	Dead   bool   // the filesystem is gone
}

// Stats reads the kernel's counters from the monitor's fdinfo (proc(5)).
func (m *Monitor) Stats() (Stats, error) {
	b, err := m.r.Fdinfo()
	if err != nil {
		return Stats{}, err
	}
	return parseStats(b)
}

var errNoCounters = errors.New("counters of the XFS health monitor: not in its fdinfo")

// parseStats finds the counters in the text of an fdinfo file.
func parseStats(b []byte) (Stats, error) {
	var s Stats
	found := 0
	for line := range bytes.Lines(b) {
		var err error
		switch key, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":\t")); string(key) {
		case "state":
			s.Dead = string(value) == "dead"
		case "events":
			found++
			_, err = fmt.Sscan(string(value), &s.Queued)
		case "lost":
			found++
			_, err = fmt.Sscan(string(value), &s.Lost)
		}
		if err != nil {
			return Stats{}, fmt.Errorf("counters of the XFS health monitor: %q: %w", bytes.TrimSpace(line), err)
		}
	}
	if found != 2 {
		return Stats{}, errNoCounters
	}
	return s, nil
}
