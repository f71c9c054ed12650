// SPDX-License-Identifier: MIT

package report

import (
	"path/filepath"
	"strings"
	"testing"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
)

// An effect that is larger than what the boots of one channel differ by is told
// from noise, and one boot tells of none.
func TestEffects(t *testing.T) {
	load := func(r resulttest.Repeated) *data {
		dir := filepath.Join(t.TempDir(), "run")
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
		run, err := result.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		return newData(run)
	}
	d := load(resulttest.Repeated{Boots: 10, Seed: 1, Slower: 1})
	es := effects(d.groups[latency])
	if len(es) == 0 {
		t.Fatal("no effect of ten boots")
	}
	for _, e := range es {
		if !e.real() || e.ratio.Value > 0.7 || e.floor > 0.2 || strings.HasPrefix(e.String(), "~") {
			t.Errorf("%s: %v", e.arm, e)
		}
		same := effect{e.group, e.ratio, 1}
		if same.real() || !strings.HasPrefix(same.String(), "~ ") {
			t.Errorf("an effect within the noise is told from it: %v", same)
		}
	}
	if f := effectFigure(d, result.ICount, d.groups[latency]); f == nil {
		t.Error("no plot")
	}
	d = load(resulttest.Repeated{Boots: 1, Seed: 1, Slower: 1})
	if es := effects(d.groups[latency]); len(es) != 0 || effectFigure(d, result.ICount, d.groups[latency]) != nil {
		t.Errorf("one boot has effects: %v", es)
	}
}
