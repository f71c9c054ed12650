// SPDX-License-Identifier: MIT

package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// count writes an exact number with thousands separators.
func count(n uint64) string {
	return thousands(strconv.FormatUint(n, 10))
}

func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// figures3 writes a measured number with three significant figures: an HDR
// histogram has no more.
func figures3(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "unknown"
	case v < 0:
		return "-" + figures3(-v)
	case v == 0:
		return "0"
	case v < 999.5:
		return strconv.FormatFloat(roundTo(v, 3), 'f', -1, 64)
	}
	return thousands(strconv.FormatFloat(roundTo(v, 3), 'f', 0, 64))
}

func roundTo(v float64, figures int) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', figures-1, 64), 64)
	return r
}

// percent writes a share so that nothing and a little never look the same.
func percent(v float64) string {
	switch {
	case v <= 0:
		return "0"
	case v < 0.1:
		return "<0.1"
	case v > 99.9 && v < 100:
		return ">99.9"
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// short writes a number for an axis: 10k, 2M.
func short(v float64) string {
	for _, p := range []struct {
		factor float64
		suffix string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= p.factor {
			return strconv.FormatFloat(roundTo(v/p.factor, 3), 'f', -1, 64) + p.suffix
		}
	}
	return strconv.FormatFloat(roundTo(v, 3), 'f', -1, 64)
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// table is a Markdown table that is aligned in its source too.
type table struct {
	heads []string // a head that ends in ">" makes a column of numbers, aligned to the right
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// drop removes a column.
func (t *table) drop(column int) {
	t.heads = slices.Delete(t.heads, column, column+1)
	for i, r := range t.rows {
		t.rows[i] = slices.Delete(r, column, column+1)
	}
}

// dropEmpty removes the column of that head where no row has anything in it.
func (t *table) dropEmpty(head string) {
	i := slices.Index(t.heads, head)
	if i >= 0 && !slices.ContainsFunc(t.rows, func(r []string) bool { return r[i] != "" }) {
		t.drop(i)
	}
}

func (t *table) String() string {
	heads := make([]string, len(t.heads))
	right := make([]bool, len(t.heads))
	width := make([]int, len(t.heads))
	for i, h := range t.heads {
		heads[i], right[i] = strings.CutSuffix(h, ">")
		width[i] = max(3, utf8.RuneCountInString(heads[i]))
	}
	rows := make([][]string, len(t.rows))
	for j, r := range t.rows {
		for i, c := range r {
			c = oneLine(c)
			rows[j] = append(rows[j], c)
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		b.WriteByte('|')
		for i, c := range cells {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if right[i] {
				c = pad + c
			} else {
				c += pad
			}
			b.WriteString(" " + c + " |")
		}
		b.WriteByte('\n')
	}
	line(heads)
	b.WriteByte('|')
	for i := range heads {
		rule := strings.Repeat("-", width[i]+1)
		if right[i] {
			b.WriteString(rule + ":|")
		} else {
			b.WriteString(rule + "-|")
		}
	}
	b.WriteByte('\n')
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

// clean makes one line of text from a record, without control characters.
func clean(s string) string {
	printable := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	return strings.Join(strings.Fields(printable), " ")
}

// oneLine makes text from a record safe for one line or cell of Markdown.
func oneLine(s string) string {
	return strings.ReplaceAll(clean(s), "|", `\|`)
}
