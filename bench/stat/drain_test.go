// SPDX-License-Identifier: MIT

package stat

import (
	"math"
	"testing"

	"wqfan/bench/result"
)

// A reader that reads 100 records each 1 ms, stands still for 4 ms with a full
// queue, and goes on; and one of another arm.
func TestDrainOf(t *testing.T) {
	tl := &result.Timeline{}
	read := uint64(0)
	for ms := int64(1); ms <= 20; ms++ {
		if ms <= 10 || ms > 14 {
			read += 100
		}
		tl.At = append(tl.At, ms*1e6)
		tl.Reported = append(tl.Reported, uint64(ms)*200)
		tl.Read = append(tl.Read, read)
		tl.Lost = append(tl.Lost, 0)
	}
	run := &result.Run{Cells: []result.Cell{{Arm: "wq", Timeline: tl}, {Arm: "wq"}, {Arm: "fan", Timeline: &result.Timeline{At: []int64{1}, Reported: []uint64{1}, Read: []uint64{1}}}}}
	d, err := DrainOf(run, "wq")
	if err != nil {
		t.Fatal(err)
	}
	if d.Cells != 1 || d.Rate != 80_000 || math.Abs(d.Stall-0.004) > 1e-9 {
		t.Errorf("%+v", d)
	}
	if _, err := DrainOf(run, "wq-base"); err == nil {
		t.Error("an arm without a timeline has a drain rate")
	}
}
