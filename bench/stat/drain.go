// SPDX-License-Identifier: MIT

package stat

import (
	"fmt"
	"slices"

	"wqfan/bench/result"
)

// Drain is how live readers of an arm kept up when they were behind.
type Drain struct {
	Rate  float64 // records per second of guest time, median of the cells
	Stall float64 // longest time, in seconds of guest time, in which something was queued and nothing read
	Cells int
}

// DrainOf returns how fast the readers of an arm were in the cells of a run in
// which they lost errors: there they never waited. The stall is as fine as the
// cells' timelines.
func DrainOf(run *result.Run, arm string) (Drain, error) {
	var d Drain
	var rates []float64
	for i := range run.Cells {
		c := &run.Cells[i]
		t := c.Timeline
		if c.Arm != arm || c.Err != "" || t == nil || len(t.At) == 0 || t.At[len(t.At)-1] == 0 || c.Params.Every != 0 {
			continue
		}
		d.Cells++
		end := len(t.At) - 1
		rates = append(rates, float64(t.Read[end])/float64(t.At[end])*1e9)
		since := int64(0)
		for j := range t.At {
			queued := t.Reported[j] - min(t.Reported[j], t.Read[j])
			if t.Lost != nil {
				queued -= min(queued, t.Lost[j])
			}
			if queued == 0 || j > 0 && t.Read[j] != t.Read[j-1] {
				since = t.At[j]
			}
			d.Stall = max(d.Stall, float64(t.At[j]-since)/1e9)
		}
	}
	if d.Cells == 0 {
		return d, fmt.Errorf("no live reader of %s lost anything in this run: `wqfan run loss` offers more than one can take", arm)
	}
	slices.Sort(rates)
	d.Rate = MedianOf(rates).Value
	return d, nil
}
