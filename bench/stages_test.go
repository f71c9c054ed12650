// SPDX-License-Identifier: MIT

package bench

import (
	"testing"

	"wqfan/bench/flood"
)

// The times of a stage are those of errors that the reader was woken for.
func TestStages(t *testing.T) {
	stamps := []flood.Stamp{{Called: 100}}
	for _, tt := range []struct {
		name string
		rc   receipt
		n    int
	}{
		{"woken for it", receipt{count: 1, posted: 110, woken: 120, recv: 130, decoded: 140}, 1},
		{"woken before it was reported", receipt{count: 1, posted: 110, woken: 90, recv: 130, decoded: 140}, 0},
		{"woken while it was reported", receipt{count: 1, posted: 110, woken: 105, recv: 130, decoded: 140}, 0},
		{"nobody says when it was posted", receipt{count: 1, woken: 105, recv: 130, decoded: 140}, 1},
		{"one of several", receipt{count: 2, posted: 110, woken: 120, recv: 130, decoded: 140}, 0},
	} {
		r := &reader{receipts: []receipt{tt.rc}}
		stages := r.stages(stamps)
		if got := int(stages[0].hist.TotalCount()); got != tt.n {
			t.Errorf("%s: %d values, want %d", tt.name, got, tt.n)
		}
		for _, s := range stages {
			if s.negative > 0 {
				t.Errorf("%s: %s is negative", tt.name, s.name)
			}
		}
	}
}
