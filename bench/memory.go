// SPDX-License-Identifier: MIT

package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"wqfan/bench/flood"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
)

// memory is what of the guest's memory was not the kernel's own before its
// channels were open, when they were, and when their queues held the flood.
type memory struct{ spare []int64 }

// settle is how long the kernel may take to free what a closed channel had.
const settle = 500 * time.Millisecond

// take reads the memory that is not the kernel's own, where the cell asks for it.
func (m *memory) take(c scenario.Cell) error {
	if !c.Memory {
		return nil
	}
	// The kernel frees what has been closed when it gets round to it.
	time.Sleep(settle)
	// Each CPU has counts of its own, up to 125 pages: have them added.
	if err := os.WriteFile("/proc/sys/vm/stat_refresh", []byte("1"), 0); err != nil {
		return fmt.Errorf("have the kernel add up its counts of pages: %w", err)
	}
	b, err := os.ReadFile("/proc/zoneinfo")
	if err != nil {
		return err
	}
	pages := sparePages(b)
	if pages == 0 {
		return fmt.Errorf("/proc/zoneinfo tells of no free pages")
	}
	m.spare = append(m.spare, pages*int64(os.Getpagesize()))
	return nil
}

// sparePages counts the pages in a /proc/zoneinfo that are free, including those
// that a CPU keeps at hand, or that processes and the page cache have: what the
// measuring program itself takes and gives back is not to be seen.
func sparePages(zoneinfo []byte) (n int64) {
	for line := range bytes.Lines(zoneinfo) {
		for _, format := range []string{
			"pages free %d", "count: %d", "nr_anon_pages %d", "nr_file_pages %d", "nr_page_table_pages %d",
		} {
			var pages int64
			if _, err := fmt.Sscanf(string(bytes.TrimSpace(line)), format, &pages); err == nil {
				n += pages
			}
		}
	}
	return n
}

// begin has the injector keep a log of one error in place of the last flood's,
// so that what it gives back for the next is known.
func (m *memory) begin(ctx context.Context, c scenario.Cell, targets []*os.File) error {
	if !c.Memory {
		return nil
	}
	one := c.Flood
	one.Count, one.Log = 1, true
	_, err := flood.Inject(ctx, one, targets...)
	return err
}

// result says what one of n channels took, or nil. The injector's log of the
// flood is none of it.
func (m *memory) result(n int, logged uint64) *result.Memory {
	if len(m.spare) != 3 {
		return nil
	}
	log := logPages(logged) - logPages(1)
	return &result.Memory{Open: (m.spare[0] - m.spare[1]) / int64(n), Queued: (m.spare[1] - m.spare[2] - log) / int64(n)}
}

// logPages is what the injector's log of n errors takes, in bytes: it is made of
// whole pages (vcalloc() in fs/fserror_inject.c).
func logPages(n uint64) int64 {
	page := int64(os.Getpagesize())
	return (int64(n)*flood.StampSize + page - 1) / page * page
}
