// SPDX-License-Identifier: MIT

// Package export writes a recorded run for other systems: KTAP and KCIDB for
// kernel CI, metrics for Prometheus. Like every analysis it reads only
// bench/result.
package export

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode"

	"wqfan/bench/result"
)

// KTAP writes r in the kernel's test format (Documentation/dev-tools/ktap.rst):
// a suite for each scenario, a case for each cell, and at last a case that says
// whether every planned cell was measured. A cell is ok where it was measured
// and each of its errors is accounted for.
func KTAP(w io.Writer, r *result.Run) error {
	b := bufio.NewWriter(w)
	var names []string
	cells := map[string][]*result.Cell{}
	for i := range r.Cells {
		c := &r.Cells[i]
		if cells[c.Scenario] == nil {
			names = append(names, c.Scenario)
		}
		cells[c.Scenario] = append(cells[c.Scenario], c)
	}
	repeated := map[string]int{} // boots that have the cell
	for i := range r.Cells {
		repeated[r.Cells[i].ID]++
	}

	fmt.Fprintf(b, "KTAP version 1\n1..%d\n", len(names)+1)
	for i, name := range names {
		fmt.Fprintf(b, "    KTAP version 1\n    # Subtest: %s\n    1..%d\n", ktapWord(name), len(cells[name]))
		suite := "ok"
		for j, c := range cells[name] {
			verdict, why := "ok", problem(c)
			if why != "" {
				verdict, suite = "not ok", "not ok"
				fmt.Fprintf(b, "    # %s\n", ktapWord(why))
			}
			for _, note := range c.Warnings {
				fmt.Fprintf(b, "    # %s\n", ktapWord(note))
			}
			id := c.ID
			if repeated[c.ID] > 1 {
				id = c.Boot + "/" + id
			}
			fmt.Fprintf(b, "    %s %d %s\n", verdict, j+1, ktapWord(id))
		}
		fmt.Fprintf(b, "%s %d %s\n", suite, i+1, ktapWord(name))
	}
	whole := "ok"
	if !r.Complete {
		whole = "not ok"
		fmt.Fprintf(b, "# %d of %d cells were measured: %s\n", len(r.Cells), r.Planned, ktapWord(cmp.Or(r.Reason, "no reason is recorded")))
	}
	fmt.Fprintf(b, "%s %d complete\n", whole, len(names)+1)
	return b.Flush()
}

// problem says what is wrong with a cell, or nothing.
func problem(c *result.Cell) string {
	switch {
	case c.Err != "":
		return c.Err
	case c.Account.Unexplained() != 0:
		return "does not add up: " + c.Account.String()
	}
	return ""
}

// ktapWord makes one line without the character that begins a directive.
func ktapWord(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '#':
			return '_'
		case !unicode.IsPrint(r):
			return ' '
		}
		return r
	}, s)
	return cmp.Or(strings.Join(strings.Fields(s), " "), "unnamed")
}
