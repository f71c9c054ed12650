// SPDX-License-Identifier: MIT

package stat_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/bench/stat"
)

// runs makes one side of a comparison.
func runs(t *testing.T, rs ...resulttest.Repeated) (out []*result.Run) {
	t.Helper()
	for _, r := range rs {
		run, err := r.Load(t.TempDir() + "/run")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, run)
	}
	return out
}

// edit changes every cell of an arm and a scenario.
func edit(arm, scenario string, f func(*result.Cell)) func(*result.Run, *result.Boot, *result.Cell) {
	return func(_ *result.Run, _ *result.Boot, c *result.Cell) {
		if c != nil && c.Arm == arm && c.Scenario == scenario {
			f(c)
		}
	}
}

// late makes wq-base's latency invalid in a boot, or in all for "".
func late(boot string) func(*result.Run, *result.Boot, *result.Cell) {
	return func(_ *result.Run, b *result.Boot, c *result.Cell) {
		if c != nil && c.ID == wqLatency && (boot == "" || b.ID == boot) {
			c.Warnings = append(c.Warnings, result.Late)
		}
	}
}

const (
	fanLatency = "latency/fs=ext4/cpus=1/arm=fan/pace=10ms"
	wqLatency  = "latency/fs=ext4/cpus=1/arm=wq-base/pace=10ms"
	wqOverflow = "overflow/fs=ext4/cpus=1/arm=wq-base/queue=512 burst=100"
)

func find(t *testing.T, c *stat.Comparison, cell, name string) stat.Metric {
	t.Helper()
	i := slices.IndexFunc(c.Metrics, func(m stat.Metric) bool { return m.Cell == cell && m.Name == name })
	if i < 0 {
		t.Fatalf("no metric %s of %s", name, cell)
	}
	return c.Metrics[i]
}

func TestCompare(t *testing.T) {
	ten := resulttest.Repeated{Boots: 10, Seed: 1}
	tests := []struct {
		name     string
		old, new []resulttest.Repeated
		least    float64
		want     map[string]stat.Verdict // of the metrics that are not the same
		warn     string                  // in the warnings of each of those
	}{
		{name: "A/A", old: []resulttest.Repeated{ten}, new: []resulttest.Repeated{{Boots: 10, Seed: 2}}},
		{name: "slower", old: []resulttest.Repeated{ten}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Slower: 1.02}},
			want: map[string]stat.Verdict{wqLatency + " p50 intended-to-read": stat.Worse, wqLatency + " p99 intended-to-read": stat.Worse, wqOverflow + " p50 report-cost": stat.Worse}},
		{name: "faster", old: []resulttest.Repeated{ten}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Slower: 0.98}},
			want: map[string]stat.Verdict{wqLatency + " p50 intended-to-read": stat.Better, wqLatency + " p99 intended-to-read": stat.Better, wqOverflow + " p50 report-cost": stat.Better}},
		{name: "two runs a side", old: []resulttest.Repeated{{Boots: 5, Seed: 1}, {Boots: 5, Seed: 3}}, new: []resulttest.Repeated{{Boots: 6, Seed: 2}, {Boots: 5, Seed: 4}}},
		{name: "less than the noise", old: []resulttest.Repeated{ten}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Slower: 1.0005}}},
		{name: "less than what counts", old: []resulttest.Repeated{ten}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Slower: 1.02}}, least: 0.03},
		{name: "two boots", old: []resulttest.Repeated{{Boots: 2, Seed: 1}}, new: []resulttest.Repeated{{Boots: 2, Seed: 2, Slower: 2}}, warn: "2 and 2 boots are too few",
			want: map[string]stat.Verdict{
				fanLatency + " p50 intended-to-read": "?", fanLatency + " p99 intended-to-read": "?", wqLatency + " p50 intended-to-read": "?", wqLatency + " p99 intended-to-read": "?",
				wqOverflow + " p50 report-cost": "?", "overflow/fs=ext4/cpus=1/arm=fan/queue=16384 burst=100 p50 report-cost": "?"}},
		{name: "one loss in silence", old: []resulttest.Repeated{ten}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Edit: func(_ *result.Run, b *result.Boot, c *result.Cell) {
			if c != nil && c.ID == wqOverflow && b.ID == "boot7" {
				c.Account.Detailed--
				c.Account.Silent++
			}
		}}}, want: map[string]stat.Verdict{wqOverflow + " lost silently": stat.Worse}},
		{name: "losses", old: []resulttest.Repeated{ten}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Edit: edit("wq-base", "overflow", func(c *result.Cell) {
			c.Account.Detailed -= 20
			c.Account.Signalled += 20
		})}}, want: map[string]stat.Verdict{wqOverflow + " lost, signalled": stat.Worse, wqOverflow + " in detail": stat.Worse}},
		{name: "a late injector", old: []resulttest.Repeated{ten}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Slower: 1.1, Edit: edit("wq-base", "latency", func(c *result.Cell) {
			c.Warnings = append(c.Warnings, result.Late)
		})}}, warn: "invalid: ", want: map[string]stat.Verdict{
			wqLatency + " p50 intended-to-read": "?", wqLatency + " p99 intended-to-read": "?", wqLatency + " in detail": "?", wqLatency + " lost, signalled": "?",
			wqOverflow + " p50 report-cost": stat.Worse}},
		{name: "late in one boot", old: []resulttest.Repeated{{Boots: 10, Seed: 1, Edit: late("boot3")}}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Slower: 1.5}},
			want: map[string]stat.Verdict{
				wqLatency + " p50 intended-to-read": stat.Worse, wqLatency + " p99 intended-to-read": stat.Worse, wqOverflow + " p50 report-cost": stat.Worse}},
		{name: "late no more", old: []resulttest.Repeated{{Boots: 10, Seed: 1, Edit: late("")}}, new: []resulttest.Repeated{{Boots: 10, Seed: 2}}, warn: "invalid in 100 % of OLD's boots and 0 % of NEW's",
			want: map[string]stat.Verdict{
				wqLatency + " p50 intended-to-read": "?", wqLatency + " p99 intended-to-read": "?", wqLatency + " in detail": "?", wqLatency + " lost, signalled": "?"}},
		{name: "a histogram less", old: []resulttest.Repeated{{Boots: 10, Seed: 1, Edit: func(_ *result.Run, b *result.Boot, c *result.Cell) {
			if c != nil && c.ID == wqLatency && b.ID == "boot0" {
				c.Hists = nil
			}
		}}}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Slower: 1.5}}, want: map[string]stat.Verdict{
			wqLatency + " p50 intended-to-read": stat.Worse, wqLatency + " p99 intended-to-read": stat.Worse, wqOverflow + " p50 report-cost": stat.Worse}},
		{name: "late, and more lost in silence", old: []resulttest.Repeated{{Boots: 10, Seed: 1, Edit: func(r *result.Run, b *result.Boot, c *result.Cell) {
			late("")(r, b, c)
			if c != nil && c.ID == wqLatency && b.ID == "boot7" {
				c.Account.Detailed--
				c.Account.Silent++
			}
		}}}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Edit: func(r *result.Run, b *result.Boot, c *result.Cell) {
			late("")(r, b, c)
			if c != nil && c.ID == wqLatency {
				c.Account.Silent, c.Account.Detailed = c.Account.Detailed, 0
			}
		}}}, want: map[string]stat.Verdict{
			wqLatency + " p50 intended-to-read": stat.Void, wqLatency + " p99 intended-to-read": stat.Void, wqLatency + " in detail": stat.Void, wqLatency + " lost, signalled": stat.Void,
			wqLatency + " lost silently": stat.Worse}},
		{name: "late on both sides", old: []resulttest.Repeated{{Boots: 10, Seed: 1, Edit: late("")}}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Slower: 1.5, Edit: late("")}},
			want: map[string]stat.Verdict{
				wqLatency + " p50 intended-to-read": stat.Void, wqLatency + " p99 intended-to-read": stat.Void, wqLatency + " in detail": stat.Void, wqLatency + " lost, signalled": stat.Void,
				wqOverflow + " p50 report-cost": stat.Worse}},
		{name: "late, and lost in silence", old: []resulttest.Repeated{{Boots: 10, Seed: 1, Edit: late("")}}, new: []resulttest.Repeated{{Boots: 10, Seed: 2, Edit: func(r *result.Run, b *result.Boot, c *result.Cell) {
			late("")(r, b, c)
			if c != nil && c.ID == wqLatency && b.ID == "boot7" {
				c.Account.Detailed--
				c.Account.Silent++
			}
		}}}, want: map[string]stat.Verdict{
			wqLatency + " p50 intended-to-read": stat.Void, wqLatency + " p99 intended-to-read": stat.Void, wqLatency + " in detail": stat.Void, wqLatency + " lost, signalled": stat.Void,
			wqLatency + " lost silently": stat.Worse}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := stat.Compare(runs(t, tt.old...), runs(t, tt.new...), tt.least)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]stat.Verdict{}
			for _, m := range c.Metrics {
				if m.Verdict == stat.Same {
					continue
				}
				got[m.Cell+" "+m.Name] = m.Verdict
				if tt.warn != "" && m.Verdict == stat.Undecided && !strings.Contains(strings.Join(m.Warnings, "\n"), tt.warn) {
					t.Errorf("%s %s warns %q, want %q", m.Cell, m.Name, m.Warnings, tt.warn)
				}
			}
			for k, v := range tt.want {
				if got[k] != v {
					t.Errorf("%s: %q, want %q", k, got[k], v)
				}
				delete(got, k)
			}
			for k, v := range got {
				t.Errorf("%s: %q, want ~", k, v)
			}
		})
	}
}

// A schema changes when the meaning of a field does, so that the cells of two
// may be alike and their numbers not.
func TestCompareSchemas(t *testing.T) {
	few := resulttest.Repeated{Boots: 2, Seed: 1}
	for _, tt := range []struct {
		old, new []int // schema of each run
		want     string
	}{
		{[]int{3}, []int{3}, ""},
		{[]int{2}, []int{2}, ""},
		{[]int{2}, []int{3}, "not comparable: another schema: OLD was recorded in 2, NEW in 3, whose fields do not all mean the same: measure the older again"},
		{[]int{3}, []int{2}, "another schema: OLD was recorded in 3, NEW in 2"},
		{[]int{3, 2}, []int{3}, "another schema: OLD was recorded in 3, OLD in 2"},
	} {
		side := func(schemas []int) (out []*result.Run) {
			for _, n := range schemas {
				r := runs(t, few)[0]
				r.Schema = n
				out = append(out, r)
			}
			return out
		}
		_, err := stat.Compare(side(tt.old), side(tt.new), stat.Least)
		var no *stat.NotComparableError
		if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &no) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v against %v: got %v, want %q", tt.old, tt.new, err, tt.want)
		}
	}
}

// Every number carries what has to be known with it, and its maximum.
func TestCompareWarns(t *testing.T) {
	drift := resulttest.Repeated{Boots: 7, Seed: 1, Edit: func(_ *result.Run, b *result.Boot, c *result.Cell) {
		switch {
		case b != nil && c == nil:
			b.Clock.Resolution = 1000
		case c != nil && c.ID == wqLatency:
			c.Warnings = []string{"one of 13 records"}
			for i := range c.Hists[0].Windows {
				c.Hists[0].Windows[i] = int64(1000 * (i + 1))
			}
		}
	}}
	c, err := stat.Compare(runs(t, resulttest.Repeated{Boots: 7, Seed: 2}), runs(t, drift), stat.Least)
	if err != nil {
		t.Fatal(err)
	}
	m := find(t, c, wqLatency, "p50 intended-to-read")
	for _, want := range []string{"7 of the 10 boots", "one of 13 records", "clock too coarse: its steps are 1000", "no steady state in 7 of 7 boots"} {
		if !strings.Contains(strings.Join(m.Warnings, "\n"), want) {
			t.Errorf("no warning %q in %q", want, m.Warnings)
		}
	}
	if len(m.Warnings) != 4 {
		t.Errorf("%d warnings, each should be there once: %q", len(m.Warnings), m.Warnings)
	}
	if m.OldMax < m.Old || m.NewMax < m.New {
		t.Errorf("maxima %v and %v of %v and %v", m.OldMax, m.NewMax, m.Old, m.New)
	}
}

func TestNotComparable(t *testing.T) {
	few := resulttest.Repeated{Boots: 2, Seed: 1}
	with := func(f func(*result.Run, *result.Boot, *result.Cell)) resulttest.Repeated {
		r := few
		r.Edit = f
		return r
	}
	boot := func(f func(*result.Boot)) resulttest.Repeated {
		return with(func(_ *result.Run, b *result.Boot, c *result.Cell) {
			if b != nil && c == nil {
				f(b)
			}
		})
	}
	host := func(mode result.Mode, cpu, qemu string) resulttest.Repeated {
		return with(func(r *result.Run, b *result.Boot, c *result.Cell) {
			switch {
			case b == nil:
				r.Host.CPU, r.Host.QEMU = cpu, qemu
			case c == nil:
				b.Mode = mode
			}
		})
	}
	series := func(s string) resulttest.Repeated { r := few; r.Series = s; return r }
	tests := []struct {
		name     string
		old, new []resulttest.Repeated
		want     string // "" where they can be compared
	}{
		{"alike", []resulttest.Repeated{few}, []resulttest.Repeated{few}, ""},
		{"another kernel", []resulttest.Repeated{few}, []resulttest.Repeated{series("abc")}, ""},
		{"another mode", []resulttest.Repeated{few}, []resulttest.Repeated{host(result.TCG, resulttest.Header().Host.CPU, resulttest.Header().Host.QEMU)}, "another mode: OLD in icount, NEW in tcg"},
		{"another mode, and then other cells", []resulttest.Repeated{few}, []resulttest.Repeated{with(func(_ *result.Run, b *result.Boot, c *result.Cell) {
			switch {
			case c != nil:
				c.ID += "x"
				c.Err = "and one that failed"
			case b != nil:
				b.Mode = result.TCG
			}
		})}, "not comparable: another mode: OLD in icount, NEW in tcg, whose guest time is not the same thing; NEW has cells that failed"},
		{"another emulator", []resulttest.Repeated{few}, []resulttest.Repeated{host(result.ICount, "A", "QEMU 9")}, "another machine: OLD on QEMU emulator version 7.2.22, NEW on QEMU 9"},
		{"another processor", []resulttest.Repeated{host(result.TCG, "A", "Q")}, []resulttest.Repeated{host(result.TCG, "B", "Q")}, "another machine: OLD on A, NEW on B"},
		{"another processor, counting", []resulttest.Repeated{host(result.ICount, "A", "Q")}, []resulttest.Repeated{host(result.ICount, "B", "Q")}, ""},
		{"other memory", []resulttest.Repeated{few}, []resulttest.Repeated{boot(func(b *result.Boot) { b.MemMiB = 64 })}, "another machine: guests of 512 MiB and of 64 MiB"},
		{"two kernels on a side", []resulttest.Repeated{few, series("abc")}, []resulttest.Repeated{few}, "OLD is of two kernels"},
		{"other cells", []resulttest.Repeated{few}, []resulttest.Repeated{with(edit("fan", "latency", func(c *result.Cell) { c.ID += "x" }))}, "NEW lacks cells: " + fanLatency + "; OLD lacks cells: " + fanLatency + "x"},
		{"other errors", []resulttest.Repeated{few}, []resulttest.Repeated{with(edit("fan", "latency", func(c *result.Cell) { c.Params.Interval++ }))}, "another experiment by the same name: " + fanLatency},
		{"a failed cell", []resulttest.Repeated{few}, []resulttest.Repeated{with(edit("fan", "latency", func(c *result.Cell) { c.Err = "the identity is broken" }))}, "NEW has cells that failed: " + fanLatency + " in boot0: the identity is broken"},
		{"nothing", []resulttest.Repeated{{}}, []resulttest.Repeated{few}, "OLD has no cell"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := stat.Compare(runs(t, tt.old...), runs(t, tt.new...), stat.Least)
			var no *stat.NotComparableError
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tt.want != "" && (!errors.As(err, &no) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
