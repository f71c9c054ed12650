// SPDX-License-Identifier: MIT

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// CompareJSON writes all of a comparison, or why there is none.
func CompareJSON(w io.Writer, c *stat.Comparison, why *stat.NotComparableError) error {
	var v any = c
	if why != nil {
		v = struct {
			Why []string `json:"not_comparable"`
		}{why.Why}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	return e.Encode(v)
}

// CompareText writes a comparison for a terminal.
func CompareText(w io.Writer, c *stat.Comparison) error {
	t := newComparison(c)
	var b strings.Builder
	for _, line := range t.head {
		fmt.Fprintln(&b, line)
	}
	if len(t.rows) > 0 {
		fmt.Fprintln(&b)
		tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{comparisonHeads}, t.rows...) {
			fmt.Fprintln(tw, strings.TrimRight(strings.Join(row, "\t"), "\t"))
		}
		tw.Flush()
	}
	fmt.Fprintln(&b)
	for _, line := range append(t.notes, t.sum) {
		fmt.Fprintln(&b, line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// CompareMarkdown writes a comparison as Markdown.
func CompareMarkdown(w io.Writer, c *stat.Comparison) error {
	t := newComparison(c)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", strings.Join(t.head, "\\\n"))
	if len(t.rows) > 0 {
		md := table{heads: slices.Clone(comparisonHeads)}
		for i := 2; i < len(md.heads)-2; i++ {
			md.heads[i] += ">"
		}
		for _, row := range t.rows {
			md.add(row...)
		}
		fmt.Fprintf(&b, "%s\n", &md)
	}
	fmt.Fprintf(&b, "%s\n", strings.Join(append(t.notes, t.sum), "\\\n"))
	_, err := io.WriteString(w, b.String())
	return err
}

var comparisonHeads = []string{"cell", "metric", "old", "new", "new/old", "95 % interval", "noise floor", "p", "max old", "max new", "verdict", "notes"}

// comparison is what is shown of one, in either form.
type comparison struct {
	head  []string
	rows  [][]string
	notes []string // the warnings that rows refer to by number
	sum   string
}

func newComparison(c *stat.Comparison) *comparison {
	t := &comparison{}
	for _, k := range c.Old {
		t.head = append(t.head, "OLD: "+kernelOf(k))
	}
	for _, k := range c.New {
		t.head = append(t.head, "NEW: "+kernelOf(k))
	}
	for _, m := range c.Modes {
		t.head = append(t.head, fmt.Sprintf("Mode %s, in %s; %s on %s.", m, m.Unit(), clean(c.Host.QEMU), clean(c.Host.CPU)))
	}
	for _, w := range c.Warnings {
		t.head = append(t.head, "Mind: "+clean(w)+".")
	}
	number := map[string]int{}
	equal := 0
	for i := range c.Metrics {
		m := &c.Metrics[i]
		if m.Equal && m.Verdict == stat.Same {
			equal++
			continue
		}
		var refs []string
		for _, w := range m.Warnings {
			if number[w] == 0 {
				number[w] = len(number) + 1
				t.notes = append(t.notes, fmt.Sprintf("[%d] %s.", number[w], clean(w)))
			}
			refs = append(refs, fmt.Sprintf("[%d]", number[w]))
		}
		ratio, interval, floor := "-", "-", "-"
		if m.Ratio != nil {
			ratio, interval = fmt.Sprintf("%.4f", m.Ratio.Value), fmt.Sprintf("%.4f to %.4f", m.Ratio.Lo, m.Ratio.Hi)
		}
		if m.Floor != nil {
			floor = fmt.Sprintf("%.2f %%", 100**m.Floor)
		}
		t.rows = append(t.rows, []string{clean(m.Cell), m.Name, figures5(m.Old), figures5(m.New), ratio, interval, floor,
			strconv.FormatFloat(m.P, 'g', 2, 64), figures5(m.OldMax), figures5(m.NewMax), string(m.Verdict), strings.Join(refs, " ")})
	}
	noise := "within the noise"
	if c.Least > 0 {
		noise += fmt.Sprintf(" or off by less than %.3g %%", 100*c.Least)
	}
	t.sum = fmt.Sprintf("%d worse, %d better, %d %s (~), %d undecided, %d invalid on both sides (void); %d more equal in every boot.",
		c.With(stat.Worse), c.With(stat.Better), c.With(stat.Same)-equal, noise, c.With(stat.Undecided), c.With(stat.Void), equal)
	return t
}

func kernelOf(k result.Kernel) string {
	s := clean(k.Release)
	if k.Series != "" {
		s += ", series " + clean(k.Series)
	}
	return fmt.Sprintf("%s, configuration %s, %s", s, clean(k.Config), clean(k.CC))
}

// figures5 writes a mean, which has more figures than a histogram.
func figures5(v float64) string {
	if v < 1000 {
		return strconv.FormatFloat(roundTo(v, 5), 'f', -1, 64)
	}
	whole, part, _ := strings.Cut(strconv.FormatFloat(roundTo(v, 5), 'f', -1, 64), ".")
	if part != "" {
		part = "." + part
	}
	return thousands(whole) + part
}
