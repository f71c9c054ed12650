// SPDX-License-Identifier: MIT

package scenario

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
				if c.CPUs != b.CPUs {
					t.Errorf("%s is in a boot with %d CPUs", c.ID(), b.CPUs)
				}
				if c.Scenario != Corruption && c.Flood.Count == 0 {
					t.Errorf("%s makes no error", c.ID())
				}
				combos[c.Scenario+" "+c.Arm.Name+" "+c.FS]++
			}
		}
		for _, s := range All() {
			for _, a := range Arms() {
				for _, fs := range filesystems {
					if combos[s.Name+" "+a.Name+" "+fs] == 0 {
						t.Errorf("full=%v: %s has no cell for %s on %s", full, s.Name, a.Name, fs)
					}
				}
			}
		}
		for _, burst := range []string{"burst=1", "burst=100000"} {
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
	p, err := New(Select{Scenarios: []string{Latency}, Arms: []string{"fan", "wq-base"}, FS: []string{"xfs"}, CPUs: []int{2}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range p.Boots {
		for _, c := range b.Cells {
			got = append(got, c.ID())
		}
	}
	want := []string{"latency/fs=xfs/cpus=2/arm=fan/pace=10ms", "latency/fs=xfs/cpus=2/arm=wq-base/pace=10ms"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []Select{
		{Scenarios: []string{"overflows"}}, {Arms: []string{"wq2"}}, {FS: []string{"zfs"}}, {CPUs: []int{0}},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v: no error", bad)
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
