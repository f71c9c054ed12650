// SPDX-License-Identifier: MIT

package report

import (
	"strings"
	"testing"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/fserr"
)

// A verdict follows from the cells of the run: other cells, another verdict.
func TestVerdicts(t *testing.T) {
	one := resulttest.Boot(1)
	cells := func(change func(*result.Cell)) []result.Cell {
		return append(modify(cellsOf(t, one), change), resulttest.Corruption(one))
	}
	times := func(c *result.Cell, name string, v int64) {
		for i := range c.Hists {
			if c.Hists[i].Name == name {
				h, err := result.NewHist(name, one.Mode.Unit(), hist(t, v, v, v))
				if err != nil {
					t.Fatal(err)
				}
				c.Hists[i] = h
			}
		}
	}
	tests := []struct {
		claim  int
		name   string
		boot   result.Boot
		change func(*result.Cell)
		want   string
	}{
		{1, "quick, but dear to the reporter", one, nil, "holds only if the whole way"},
		{1, "quick and cheap", one, func(c *result.Cell) {
			if c.Arm == "wq-base" && c.Scenario == overflow {
				times(c, reportCost, 10)
			}
		}, "holds"},
		{1, "slow", one, func(c *result.Cell) {
			if c.Arm == "wq-base" && c.Scenario == latency {
				times(c, readTime, 900_000)
			}
		}, "does not hold"},
		{1, "nothing timed", one, func(c *result.Cell) { c.Hists = nil }, "no data in this run"},
		{3, "all losses told", one, nil, "does not hold"},
		{3, "some silent", one, func(c *result.Cell) {
			if c.Arm == "wq-base" {
				c.Account.Silent, c.Account.Signalled = c.Account.Signalled, 0
			}
		}, "holds only if"},
		{3, "nothing lost", one, func(c *result.Cell) {
			c.Account.Detailed += c.Account.Signalled
			c.Account.Signalled = 0
		}, "no data in this run"},
		{6, "bursts overflow", one, nil, "holds only if bursts that nobody reads fit the ring: of those tried 100 did"},
		{6, "single errors lost", one, func(c *result.Cell) {
			if c.Scenario == latency {
				c.Account.Detailed--
				c.Account.Signalled++
			}
		}, "does not hold"},
		{8, "one filesystem only", one, nil, "no data in this run"},
		{9, "one object", one, nil, "no data in this run"},
		{9, "many objects", one, func(c *result.Cell) {
			if c.Scenario == overflow {
				c.Params.Scope, c.Params.Targets = "inode", 16
			}
		}, "does not hold"},
		{10, "as sampled", one, nil, "does not hold"},
		{10, "alike", one, func(c *result.Cell) {
			c.Account = fserr.Account{Injected: c.Account.Injected, Detailed: c.Account.Injected}
			times(c, readTime, 1000)
		}, "holds"},
		{2, "no cell bears on it", one, nil, "no data in this run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			change := tt.change
			if change == nil {
				change = func(*result.Cell) {}
			}
			run, err := result.Load(record(t, []result.Boot{tt.boot}, cells(change), nil))
			if err != nil {
				t.Fatal(err)
			}
			got := findings(newData(run))[tt.claim-1]
			if s := got.says(); !strings.HasPrefix(s, tt.want) || tt.want == string(holds) && s != tt.want+" (n=1)" {
				t.Errorf("claim %d: %q, want %q: %s", tt.claim, s, tt.want, got.text)
			}
		})
	}
}

// Verdicts from the scenarios that were made for them.
func TestVerdictsOfScenarios(t *testing.T) {
	one := resulttest.Boot(1)
	cell := func(scenario, arm, point string, a fserr.Account, change func(*result.Cell)) result.Cell {
		c := result.Cell{ID: scenario + "/" + arm + "/" + point, Scenario: scenario, Arm: arm, Variant: "patched", FS: "ext4", CPUs: 1, Point: point, Boot: one.ID, Account: a,
			Params: result.Params{Errors: a.Injected, Queue: 512, Reader: unread}}
		change(&c)
		return c
	}
	chain := func(arm string, whole, broken uint64) result.Cell {
		return cell("chain", arm, "blob=400 reader=none", fserr.Account{Injected: 200, Detailed: whole + broken, Signalled: 200 - whole - broken}, func(c *result.Cell) {
			c.Params.Blob, c.Reader.Whole, c.Reader.Broken = 400, whole, broken
		})
	}
	scope := func(arm string, detailed uint64) result.Cell {
		return cell("scope", arm, "files=16", fserr.Account{Injected: 100, Detailed: detailed, Signalled: 100 - detailed}, func(c *result.Cell) {
			c.Params.Errors, c.Params.Targets, c.Params.Scope = 1600, 16, "inode"
		})
	}
	kept := func(point string, detailed uint64) result.Cell {
		return cell("filter", "wq", point, fserr.Account{Injected: 100, Detailed: detailed, Signalled: 100 - detailed}, func(c *result.Cell) { c.Params.Noise = 100_000 })
	}
	for _, tt := range []struct {
		name  string
		claim int
		cells []result.Cell
		want  string
	}{
		{"whole or not at all", 2, []result.Cell{chain("wq", 100, 0)}, "does not hold"},
		{"torn", 2, []result.Cell{chain("wq-parts", 90, 10)}, "holds"},
		{"one of two torn", 2, []result.Cell{chain("wq", 100, 0), chain("wq-parts", 90, 10)}, "holds only if the parts of a record are lost one by one; wq loses it whole"},
		{"fanotify alone", 2, []result.Cell{chain("fan-detail", 100, 0)}, "no data in this run"},
		{"its own file", 4, []result.Cell{scope("fan", 100), scope("wq", 100)}, "holds only if other events than errors"},
		{"watch_queue does not tell", 4, []result.Cell{scope("fan", 100), scope("wq", 0)}, "holds"},
		{"without privileges", 5, []result.Cell{scope("fan", 100), scope("wq", 100)}, "holds"},
		{"through one only", 5, []result.Cell{scope("fan", 100), scope("wq", 0)}, "holds only if the channel is fan"},
		{"through none", 5, []result.Cell{scope("fan", 0)}, "does not hold"},
		{"filters help", 7, []result.Cell{kept("keep=nothing", 0), kept("keep=class", 100)}, "holds"},
		{"filters do not help", 7, []result.Cell{kept("keep=nothing", 0), kept("keep=class", 3)}, "does not hold"},
		{"nothing was pushed out", 7, []result.Cell{kept("keep=nothing", 100), kept("keep=class", 100)}, "no data in this run"},
		{"a reader of one file", 9, []result.Cell{scope("fan", 100)}, "no data in this run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run, err := result.Load(record(t, []result.Boot{one}, tt.cells, nil))
			if err != nil {
				t.Fatal(err)
			}
			if f := findings(newData(run))[tt.claim-1]; strings.TrimSuffix(f.says(), " (n=1)") != tt.want && !(strings.HasPrefix(tt.want, string(onlyIf)) && strings.HasPrefix(f.says(), tt.want)) {
				t.Errorf("claim %d: %q, want %q: %s", tt.claim, f.says(), tt.want, f.text)
			}
		})
	}
}

// A run of emulated CPUs alone says nothing about speed, and answers the half of
// claim 10 that is about loss.
func TestVerdictWithoutTime(t *testing.T) {
	two := resulttest.Boot(2)
	alike := modify(cellsOf(t, two), func(c *result.Cell) {
		c.Account = fserr.Account{Injected: c.Account.Injected, Detailed: c.Account.Injected}
	})
	run, err := result.Load(record(t, []result.Boot{two}, alike, nil))
	if err != nil {
		t.Fatal(err)
	}
	fs := findings(newData(run))
	if f := fs[0]; f.verdict != noneHere {
		t.Errorf("claim 1 %s: %s", f.says(), f.text)
	}
	if f := fs[9]; f.verdict != onlyIf || !strings.Contains(f.says(), "the half about loss") {
		t.Errorf("claim 10 %s: %s", f.says(), f.text)
	}
}

// The command of a claim and its warnings are those of the cells that it rests on.
func TestRestsOn(t *testing.T) {
	one := resulttest.Boot(1)
	run, err := result.Load(record(t, []result.Boot{one}, modify(cellsOf(t, one), func(c *result.Cell) {
		if c.Scenario == latency {
			c.Warnings = []string{"of the latency"}
		}
	}), nil))
	if err != nil {
		t.Fatal(err)
	}
	d := newData(run)
	f := findings(d)[2]
	if got, want := d.rerun(f.groups), "wqfan run loss overflow"; got != want {
		t.Errorf("claim 3: %s, want %s", got, want)
	}
	d.mark(f.groups...)
	for _, n := range d.notes {
		if strings.Contains(n.String(), "latency") {
			t.Errorf("claim 3 has the warning %q", n)
		}
	}
}

// The mail names what the prototype was to cost, and does not, in ASCII.
func TestMailTargets(t *testing.T) {
	one := resulttest.Boot(1)
	var cells []result.Cell
	for arm, cost := range map[string]int64{"wq": 1150, "none": 150} {
		h, err := result.NewHist("report-in-burst", one.Mode.Unit(), hist(t, cost, cost, cost))
		if err != nil {
			t.Fatal(err)
		}
		cells = append(cells, result.Cell{ID: "targets/" + arm, Scenario: targets, Arm: arm, Variant: "patched", FS: "ext4", CPUs: 1, Point: "ring=512", Boot: one.ID,
			Account: fserr.Account{Injected: 1, Detailed: 1}, Params: result.Params{Reader: unread}, Hists: []result.Hist{h}})
	}
	dir := record(t, []result.Boot{one}, cells, nil)
	write(t, dir)
	mail := tree(t, dir)[MailFile]
	checkMail(t, mail)
	for _, want := range []string{"- the cost to the reporter, one watcher (1,150, less the 150 of one that\n  nobody is told of):\n  1,000, wanted <= 300: no [1]\n", "wanted <= 0.2 x: not measured\n"} {
		if !strings.Contains(mail, want) {
			t.Errorf("no %q in\n%s", want, mail)
		}
	}
}
