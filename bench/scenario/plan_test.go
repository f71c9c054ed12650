// SPDX-License-Identifier: MIT

package scenario

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wqfan/bench/flood"
	"wqfan/bench/result"
)

func TestPlansAreWhole(t *testing.T) {
	for _, full := range []bool{false, true} {
		p, err := New(Select{Full: full, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		combos := map[string]int{}
		for _, b := range p.Boots {
			for _, c := range b.Cells {
				if ids[c.ID()] {
					t.Errorf("full=%v: two cells are called %s", full, c.ID())
				}
				ids[c.ID()] = true
				if c.CPUs != b.CPUs || c.Kernel != b.Kernel || !c.Arm.runsOn(b.Kernel, c.FS) {
					t.Errorf("%s is in a boot of kernel %s with %d CPUs", c.ID(), b.Kernel, b.CPUs)
				}
				if c.Flood.Count == 0 && c.Search.Over == "" && !slices.Contains([]string{Corruption, Price}, c.Scenario) {
					t.Errorf("%s makes no error", c.ID())
				}
				if c.Search.Over == Rate && c.Flood.Schedule == flood.Poisson || c.Noise > 0 && c.Flood.Class == NoiseClass {
					t.Errorf("%s: %+v", c.ID(), c)
				}
				combos[strings.Join([]string{c.Scenario, c.Arm.Name, c.FS, string(c.Kernel)}, " ")]++
			}
		}
		for _, f := range families {
			if f.more && !full {
				continue
			}
			for _, a := range arms {
				for _, fs := range orElse(f.fs, disks) {
					for _, v := range a.Kernels {
						asked := slices.Contains(orElse(f.arms, compared), a.Name) && takes(f.on, v) && takes(a.FS, fs) && (full || !f.ext4 || fs == "ext4")
						if f.Name == Targets && !full && fs != "ext4" {
							asked = asked && slices.Contains([]string{"fan", "wq-base", "wq"}, a.Name)
						}
						if n := combos[strings.Join([]string{f.Name, a.Name, fs, string(v)}, " ")]; asked != (n > 0) {
							t.Errorf("full=%v: %d cells of %s for %s on %s, kernel %s", full, n, f.Name, a.Name, fs, v)
						}
					}
				}
			}
		}
		for _, burst := range []string{"burst=1", "burst=100000", "arm=wq/queue=16384/burst=1000000"} {
			found := false
			for id := range ids {
				found = found || strings.HasSuffix(id, "/"+burst)
			}
			if !found {
				t.Errorf("full=%v: no cell with %s", full, burst)
			}
		}
	}
}

func TestSelect(t *testing.T) {
	p, err := New(Select{Kernels: []Variant{Base}, Scenarios: []string{Latency}, Arms: []string{"fan", "wq-base"}, FS: []string{"xfs"}, CPUs: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range p.Boots {
		for _, c := range b.Cells {
			got = append(got, c.ID())
		}
	}
	want := []string{"latency/kernel=base/fs=xfs/cpus=1/arm=fan/pace=10ms", "latency/kernel=base/fs=xfs/cpus=1/arm=wq-base/pace=10ms"}
	slices.Sort(got) // the seed's order
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []Select{
		{Kernels: []Variant{"debug"}}, {Scenarios: []string{"overflows"}}, {Arms: []string{"wq2"}}, {FS: []string{"zfs"}}, {CPUs: []int{0}},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// Repetitions differ in the order of the arms and in the schedules, and in
// nothing else; the same seed gives the same plan.
func TestBoots(t *testing.T) {
	sel := Select{Kernels: []Variant{Base}, Scenarios: []string{Latency}, Arms: compared, FS: []string{"ext4"}, Boots: 12, Seed: 3}
	p, err := New(sel)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Boots) != 24 {
		t.Fatalf("%d boots, want 12 of each number of CPUs", len(p.Boots))
	}
	ids, orders, seeds := map[string]bool{}, map[string]bool{}, map[uint64]bool{}
	for i, b := range p.Boots {
		if ids[b.ID] || b.CPUs != 1+i%2 {
			t.Errorf("boot %d is called %q and has %d CPUs", i, b.ID, b.CPUs)
		}
		ids[b.ID] = true
		var order string
		for _, c := range b.Cells {
			order += " " + c.Arm.Name
			seeds[c.Flood.Seed] = true
		}
		orders[order] = true
		if len(strings.Fields(order)) != 3 {
			t.Errorf("%s measures%s", b.ID, order)
		}
	}
	if len(orders) < 2 || len(seeds) != 12 {
		t.Errorf("%d orders of the arms and %d schedules in 12 repetitions", len(orders), len(seeds))
	}
	again, err := New(sel)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, again); d != "" {
		t.Error(d)
	}
	sel.Seed++
	if other, err := New(sel); err != nil || cmp.Equal(p, other) {
		t.Errorf("another seed gives the same plan: %v", err)
	}
}

func TestSelectCells(t *testing.T) {
	p, err := New(Select{Cells: []string{"queue=512/burst=100", "kernel=base/fs=xfs/cpus=1/arm=fan/pace=10ms"}, Arms: []string{"fan"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Cells(); n != 1 || p.Boots[0].Cells[0].Scenario != Latency {
		t.Errorf("%d cells: %+v", n, p)
	}
	p, err = New(Select{Cells: []string{"queue=512/burst=100"}, CPUs: []int{2}, FS: []string{"xfs"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Cells(); n != 2 { // of the arms with such a queue; not bursts of 100000
		t.Errorf("%d cells: %+v", n, p)
	}
}

// No cell is of one repetition alone, where an accident of one boot would pass
// for a result.
func TestEachBootHasAllCells(t *testing.T) {
	for _, full := range []bool{false, true} {
		p, err := New(Select{Full: full, Boots: 3, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		times := map[string]int{}
		for _, b := range p.Boots {
			for _, c := range b.Cells {
				times[c.ID()]++
			}
		}
		for id, n := range times {
			if n != 3 {
				t.Errorf("full=%v: %s is in %d of 3 repetitions", full, id, n)
			}
		}
	}
}

// What capacity takes for the same number of bytes is what the newest committed
// run measured to be so: of events in detail, and of notes in a ring that is
// large enough for all else about it not to matter.
func TestBytes(t *testing.T) {
	names, err := filepath.Glob("../../reports/*/run.json")
	if err != nil {
		t.Fatal(err)
	}
	var newest *result.Run
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		run, err := result.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		measured := slices.ContainsFunc(run.Cells, func(c result.Cell) bool { return c.Memory != nil })
		if measured && (newest == nil || run.Started.After(newest.Started)) {
			newest = run
		}
	}
	if newest == nil {
		t.Skip("no committed run has measured memory")
	}
	for _, tt := range []struct {
		arm   string
		bytes float64
		of    func(*result.Memory) int64
	}{
		{"fan-detail", EventBytes, func(m *result.Memory) int64 { return m.Queued }},
		{"wq", NoteBytes, func(m *result.Memory) int64 { return m.Open }}, // the ring is there before its notes
	} {
		var each []float64
		for _, c := range newest.Cells {
			if c.Memory != nil && c.Arm == tt.arm && c.Err == "" && c.Params.Queue >= 16384 {
				each = append(each, float64(tt.of(c.Memory))/float64(c.Params.Queue))
			}
		}
		if len(each) == 0 {
			t.Errorf("no memory of %s in the run of %v", tt.arm, newest.Started)
			continue
		}
		slices.Sort(each)
		t.Logf("%s: %.1f bytes, of %d boots", tt.arm, each[len(each)/2], len(each))
		if got := each[len(each)/2]; math.Abs(got-tt.bytes) > tt.bytes/10 {
			t.Errorf("%s took %.1f bytes for each that it can queue, not %v", tt.arm, got, tt.bytes)
		}
	}
}

// A plan travels to the guest as JSON.
func TestPlanSurvivesJSON(t *testing.T) {
	p, err := New(Select{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got Plan
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, got); d != "" {
		t.Error(d)
	}
}
