// SPDX-License-Identifier: MIT

package repro

import (
	"bytes"
	"strings"
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
	about := func(name, title string) About {
		return About{Name: name, Title: title, Shows: "this.", Kernels: "all.", Fixed: "never."}
	}
	results := []Result{
		{About: about("fan-a", "A."), Verdict: Reproduced, Run: run},
		{About: about("fan-b", "B."), Verdict: NotReproduced, AsFixed: true, Reason: "a patch.", Run: run},
		{About: about("fan-c", "C."), Verdict: NotApplicable, Reason: "no kernel\nto speak of"},
		{About: about("fan-d", "D."), Verdict: NotReproduced, Reason: "the kernel does something else", Want: []string{"read g: 1", "read g: 2"}, Run: run},
		{About: about("fan-e", "E."), Err: "mount fs: no such device"},
		{About: about("fan-f", "F."), Verdict: Reproduced, Run: run, Remedy: &Remedy{Shown: true, Run: run}},
		{About: about("fan-g", "G."), Verdict: Reproduced, Run: run, Remedy: &Remedy{Reason: "the kernel lacks a patch"}},
		{About: about("fan-h", "H."), Verdict: Reproduced, Run: run, Remedy: &Remedy{Want: []string{"read g: lost: 1"}, Run: run}},
	}
	results[0].Shows = strings.Repeat("so many words ", 10)
	var out bytes.Buffer
	for _, verbose := range []bool{false, true} {
		k := KTAP{W: &out, Planned: len(results), Verbose: verbose}
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
