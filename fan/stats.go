// SPDX-License-Identifier: MIT

package fan

import (
	"bytes"
	"errors"
	"fmt"
)

// Stats says what became of the filesystem errors that the group was to be
// told of, since Open. They add up to all of them.
type Stats struct {
	Queued  uint64 // have an event of their own
	Merged  uint64 // added to the count of an event that was queued already
	Dropped uint64 // the queue was full or memory short
}

// Stats reads the kernel's counters from the group's fdinfo (proc(5)). The
// kernel has them with the project's series only; without, the error wraps
// [errors.ErrUnsupported].
func (g *Group) Stats() (Stats, error) {
	b, err := g.r.Fdinfo()
	if err != nil {
		return Stats{}, err
	}
	return parseStats(b)
}

// parseStats finds the counters in the text of an fdinfo file.
func parseStats(b []byte) (Stats, error) {
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, []byte("fanotify errors ")) {
			continue
		}
		var s Stats
		if _, err := fmt.Sscanf(string(line), "fanotify errors queued:%d merged:%d dropped:%d\n", &s.Queued, &s.Merged, &s.Dropped); err != nil {
			return Stats{}, fmt.Errorf("counters of the fanotify group: %q: %w", bytes.TrimSpace(line), err)
		}
		return s, nil
	}
	return Stats{}, errNoCounters
}

// errNoCounters is what Stats gives on a kernel without the series.
var errNoCounters = fmt.Errorf("counters of the fanotify group: %w (the kernel lacks the patch %q)",
	errors.ErrUnsupported, patchCounters)
