// SPDX-License-Identifier: MIT

package wq

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Stats says what became of the records that sources posted to the queue since
// Open. Losses and removals are not counted.
type Stats struct {
	Notes uint64 // records that the queue can hold
	Depth uint64 // records in it now
	High  uint64 // the most that were ever in it; 0 if the kernel does not tell

	Posted   uint64 // went in
	Filtered uint64 // kept out by the filter
	Lost     uint64 // found it full

	PartsLost uint64 // parts of longer records that found it full on their own, not in Lost

	Watches []WatchStats // those that exist now; the totals above also know the removed ones
}

// WatchStats are the counts of one watch. Several can have the same ID.
type WatchStats struct {
	ID                     uint8
	Posted, Filtered, Lost uint64
	PartsLost              uint64
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
		if rest, ok := bytes.CutPrefix(line, []byte("watch_queue ")); ok {
			found = true
			err = parseCounts(rest, map[string]*uint64{"notes": &s.Notes, "depth": &s.Depth,
				"posted": &s.Posted, "filtered": &s.Filtered, "lost": &s.Lost},
				map[string]*uint64{"high": &s.High, "parts_lost": &s.PartsLost})
		} else if rest, ok := bytes.CutPrefix(line, []byte("watch ")); ok {
			var w WatchStats
			var id uint64
			err = parseCounts(rest, map[string]*uint64{"id": &id, "posted": &w.Posted, "filtered": &w.Filtered, "lost": &w.Lost},
				map[string]*uint64{"parts_lost": &w.PartsLost})
			if w.ID = uint8(id); err == nil && id > 255 {
				err = fmt.Errorf("watch id %d", id)
			}
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

// parseCounts reads the words "name:number" of a line, in any order. It must have
// those of must, and may have more.
func parseCounts(line []byte, must, may map[string]*uint64) error {
	seen := 0
	for word := range bytes.FieldsSeq(line) {
		name, value, _ := strings.Cut(string(word), ":")
		to, ok := must[name]
		if ok {
			seen++
		} else if to = may[name]; to == nil {
			continue // of a later kernel
		}
		var err error
		if *to, err = strconv.ParseUint(value, 10, 64); err != nil {
			return err
		}
	}
	if seen != len(must) {
		return fmt.Errorf("%d of %d numbers", seen, len(must))
	}
	return nil
}

// errNoCounters is what Stats gives on a kernel without the series.
var errNoCounters = fmt.Errorf("counters of the watch queue: %w (the kernel lacks the patch %q)",
	errors.ErrUnsupported, patchCounters)
