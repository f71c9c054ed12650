// SPDX-License-Identifier: MIT

package report

import (
	"testing"

	"gonum.org/v1/plot"
)

// No title of a panel reaches the next panel.
func TestHeading(t *testing.T) {
	const long = "wq-base-worker, 31/32 taken"
	for cols := 1; cols <= 4; cols++ {
		row := []*plot.Plot{panel(long)}
		for len(row) < cols {
			row = append(row, nil)
		}
		f := &figure{panels: [][]*plot.Plot{row}}
		if got, room := f.heading().Width(long), f.panelWidth(); got > room {
			t.Errorf("%d panels side by side: a title of %.1f points over %.1f", cols, got, room)
		}
	}
}
