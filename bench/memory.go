// SPDX-License-Identifier: MIT

package bench

import (
	"bytes"
	"fmt"
	"os"

	"wqfan/bench/result"
	"wqfan/bench/scenario"
)

// memory is what the guest had free before its channels were open, when they
// were, and when their queues held the flood.
type memory struct{ free []int64 }

// take reads the free memory where the cell asks for it.
func (m *memory) take(c scenario.Cell) error {
	if !c.Memory {
		return nil
	}
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		var kib int64
		if _, err := fmt.Sscanf(string(line), "MemFree: %d kB", &kib); err == nil {
			m.free = append(m.free, kib<<10)
			return nil
		}
	}
	return fmt.Errorf("no MemFree in /proc/meminfo")
}

// result says what one of n channels took, or nil.
func (m *memory) result(n int) *result.Memory {
	if len(m.free) != 3 {
		return nil
	}
	return &result.Memory{Open: (m.free[0] - m.free[1]) / int64(n), Queued: (m.free[1] - m.free[2]) / int64(n)}
}
