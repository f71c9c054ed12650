// SPDX-License-Identifier: MIT

package repro

import (
	"bytes"
	"testing"

	"wqfan/internal/golden"
)

// Each kind of result, in KTAP.
func TestKTAP(t *testing.T) {
	run := Run{
		Printed: []string{"read g: nothing"},
		Steps: []Step{
			{Script: "mount fs", Notes: []string{"ext4 on /dev/vda"}},
			{Script: "read g", Notes: []string{"read: lost count=unknown"}, Printed: []string{"read g: nothing"}},
		},
	}
	results := []Result{
		{Name: "fan-a", Title: "A.", Verdict: Reproduced, Run: run},
		{Name: "fan-b", Title: "B.", Verdict: NotReproduced, Fixed: true, Reason: "a patch.", Run: run},
		{Name: "fan-c", Title: "C.", Verdict: NotApplicable, Reason: "no kernel\nto speak of"},
		{Name: "fan-d", Title: "D.", Verdict: NotReproduced, Reason: "the kernel does something else", Want: []string{"read g: 1", "read g: 2"}, Run: run},
		{Name: "fan-e", Title: "E.", Err: "mount fs: no such device"},
		{Name: "fan-f", Title: "F.", Verdict: Reproduced, Run: run, Remedy: &Remedy{Shown: true, Run: run}},
		{Name: "fan-g", Title: "G.", Verdict: Reproduced, Run: run, Remedy: &Remedy{Reason: "the kernel lacks a patch"}},
		{Name: "fan-h", Title: "H.", Verdict: Reproduced, Run: run, Remedy: &Remedy{Want: []string{"read g: lost: 1"}, Run: run}},
	}
	var out bytes.Buffer
	for _, verbose := range []bool{false, true} {
		k := KTAP{W: &out, Verbose: verbose}
		if err := k.Plan(len(results)); err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if err := k.Result(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	golden.Compare(t, "testdata/ktap.golden", out.Bytes())
	for _, r := range results {
		if ok := r.Name != "fan-d" && r.Name != "fan-e" && r.Name != "fan-h"; r.OK() != ok {
			t.Errorf("%s: OK is %v", r.Name, r.OK())
		}
	}
}
