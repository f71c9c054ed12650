// SPDX-License-Identifier: MIT

package wq

import (
	"bytes"
	"errors"
	"fmt"
)

// Stats says what became of the records that sources posted to the queue since
// Open. Losses and removals are not counted.
type Stats struct {
	Notes uint64 // records that the queue can hold
	Depth uint64 // records in it now

	Posted   uint64 // went in
	Filtered uint64 // kept out by the filter
	Lost     uint64 // found it full

	Watches []WatchStats // those that exist now; the totals above also know the removed ones
}

// WatchStats are the counts of one watch. Several can have the same ID.
type WatchStats struct {
	ID                     uint8
	Posted, Filtered, Lost uint64
}

// Stats reads the kernel's counters from the pipe's fdinfo (proc(5)). The
// kernel has them with the project's series only; without, the error wraps
// [errors.ErrUnsupported].
func (q *Queue) Stats() (Stats, error) {
	b, err := q.r.Fdinfo()
	if err != nil {
		return Stats{}, err
	}
	return parseStats(b)
}

// parseStats finds the counters in the text of an fdinfo file.
func parseStats(b []byte) (Stats, error) {
	var s Stats
	found := false
	for line := range bytes.Lines(b) {
		var err error
		switch {
		case bytes.HasPrefix(line, []byte("watch_queue ")):
			found = true
			_, err = fmt.Sscanf(string(line), "watch_queue notes:%d depth:%d posted:%d filtered:%d lost:%d\n",
				&s.Notes, &s.Depth, &s.Posted, &s.Filtered, &s.Lost)
		case bytes.HasPrefix(line, []byte("watch id:")):
			var w WatchStats
			_, err = fmt.Sscanf(string(line), "watch id:%d posted:%d filtered:%d lost:%d\n",
				&w.ID, &w.Posted, &w.Filtered, &w.Lost)
			s.Watches = append(s.Watches, w)
		}
		if err != nil {
			return Stats{}, fmt.Errorf("counters of the watch queue: %q: %w", bytes.TrimSpace(line), err)
		}
	}
	if !found {
		return Stats{}, errNoCounters
	}
	return s, nil
}

// errNoCounters is what Stats gives on a kernel without the series.
var errNoCounters = fmt.Errorf("counters of the watch queue: %w (the kernel lacks the patch %q)",
	errors.ErrUnsupported, patchCounters)
