// SPDX-License-Identifier: MIT

package campaign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wqfan/bench/guest"
	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/bench/scenario"
)

func TestParsePart(t *testing.T) {
	for in, want := range map[string]Part{"1/1": {1, 1}, "2/3": {2, 3}, "10/12": {10, 12}} {
		if got, err := ParsePart(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "1", "0/3", "4/3", "-1/3", "1/0", "1/3/5", "1/3 ", "01/3", "a/b"} {
		if got, err := ParsePart(in); err == nil {
			t.Errorf("%q: %v and no error", in, got)
		}
	}
}

// Each boot of a plan is in exactly one part, and each kind of boot in all.
func TestTake(t *testing.T) {
	plan, err := scenario.New(scenario.Select{Scenarios: []string{scenario.Latency}, Kernels: []scenario.Variant{scenario.Base}, Boots: 6})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i := range 4 {
		part := Part{i + 1, 4}.Take(plan)
		if n := len(part.Boots); n != 3 {
			t.Errorf("part %d has %d of 12 boots", i+1, n)
		}
		for _, b := range part.Boots {
			seen[b.ID]++
		}
	}
	for _, b := range plan.Boots {
		if seen[b.ID] != 1 {
			t.Errorf("%s is in %d parts", b.ID, seen[b.ID])
		}
	}
	if d := cmp.Diff(plan, Part{}.Take(plan)); d != "" {
		t.Error(d)
	}
}

// record writes what a part of a run of 12 boots leaves, as if it had been one.
func writePart(t *testing.T, p Part, edit func(*result.Run, *result.Boot, *result.Cell)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "part")
	n := 12
	if p.Of > 0 {
		n /= p.Of
	}
	i := 0
	r := resulttest.Repeated{Boots: n, Seed: 1, Edit: func(h *result.Run, b *result.Boot, c *result.Cell) {
		switch {
		case b == nil:
			h.Plan, h.Shard, h.Planned, h.Command = "0123", p.String(), 4*n, []string{"run", "--boots", "12"}
			if p.Of > 0 {
				h.Command = append(h.Command, "--shard", p.String())
			}
		case c == nil:
			if p.Of > 0 {
				b.ID = fmt.Sprintf("boot%d", i*p.Of+p.Index-1)
			}
			i++
			b.Serial = b.ID + ".serial.log"
		default:
			// The same in the part as in the whole.
			for j := range c.Hists {
				c.Hists[j] = resulttest.Cells(*b)[15].Hists[0]
			}
			c.Params.Seed = 0
		}
		if edit != nil {
			edit(h, b, c)
		}
	}}
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	run, err := result.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range run.Boots {
		if err := os.WriteFile(filepath.Join(dir, b.Serial), []byte("console of "+b.ID), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// files reads a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		m[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The parts make the record that one machine would have written, byte for byte.
func TestMerge(t *testing.T) {
	whole := writePart(t, Part{}, nil)
	parts := []string{writePart(t, Part{3, 3}, nil), writePart(t, Part{1, 3}, nil), writePart(t, Part{2, 3}, nil)}
	dir := filepath.Join(t.TempDir(), "merged")
	if err := Merge(dir, parts); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(files(t, whole), files(t, dir)); d != "" {
		t.Errorf("-one machine +three\n%s", d)
	}
}

func TestMergeRefuses(t *testing.T) {
	header := func(f func(*result.Run)) func(*result.Run, *result.Boot, *result.Cell) {
		return func(h *result.Run, b *result.Boot, _ *result.Cell) {
			if b == nil {
				f(h)
			}
		}
	}
	boot := func(f func(*result.Boot)) func(*result.Run, *result.Boot, *result.Cell) {
		return func(_ *result.Run, b *result.Boot, c *result.Cell) {
			if b != nil && c == nil {
				f(b)
			}
		}
	}
	one := writePart(t, Part{1, 2}, nil)
	tests := []struct {
		name  string
		parts []string
		want  string
	}{
		{"none", nil, "there are none"},
		{"no part", []string{writePart(t, Part{}, nil)}, "is no part"},
		{"a part missing", []string{one}, "part 2/2 is missing"},
		{"the first missing", []string{writePart(t, Part{2, 2}, nil)}, "part 1/2 is missing"},
		{"twice", []string{one, writePart(t, Part{1, 2}, nil)}, "part 1/2 is there twice"},
		{"other parts", []string{one, writePart(t, Part{2, 3}, nil)}, "is part 2/3"},
		{"another plan", []string{one, writePart(t, Part{2, 2}, header(func(r *result.Run) { r.Plan = "4567" }))}, "different plans"},
		{"no plan", []string{writePart(t, Part{1, 1}, header(func(r *result.Run) { r.Plan = "" }))}, "different plans"},
		{"another wqfan", []string{one, writePart(t, Part{2, 2}, header(func(r *result.Run) { r.Host.Revision = "f" }))}, "different revisions of wqfan"},
		{"another QEMU", []string{one, writePart(t, Part{2, 2}, header(func(r *result.Run) { r.Host.QEMU = "QEMU 9" }))}, "different versions of QEMU"},
		{"another kernel", []string{one, writePart(t, Part{2, 2}, boot(func(b *result.Boot) { b.Kernel.Series = "f" }))}, "different kernels"},
		{"the same boots", []string{one, writePart(t, Part{1, 2}, header(func(r *result.Run) { r.Shard = "2/2" }))}, "both have boot"},
		{"another mode", []string{one, writePart(t, Part{2, 2}, boot(func(b *result.Boot) { b.Mode = result.TCG }))}, "different modes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "merged")
			err := Merge(dir, tt.parts)
			if !errors.As(err, new(*PartsError)) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something was written: %v", err)
			}
		})
	}
}

// What an interrupted part has finished is not done again, and two parts make a
// whole.
func TestResume(t *testing.T) {
	o := options(t, "", scenario.Select{Kernels: []scenario.Variant{scenario.Patched}, Scenarios: []string{scenario.Latency},
		FS: []string{"ext4"}, Arms: []string{"fan"}, CPUs: []int{1}, Boots: 3, Seed: 1})
	o.Part = Part{1, 2} // the first and the third boot
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Say = func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); strings.HasPrefix(text, "boot2: ") {
			cancel()
		}
	}
	interrupted, err := record(t, ctx, o)
	if !errors.Is(err, guest.Interrupted) || interrupted.Complete || interrupted.Shard != "1/2" {
		t.Fatalf("part %s, complete %v: %v", interrupted.Shard, interrupted.Complete, err)
	}

	o.Say, o.Resume, o.Dir = t.Logf, o.Dir, filepath.Join(t.TempDir(), "resumed")
	first := o.Dir
	resumed, err := record(t, t.Context(), o)
	if err != nil || !resumed.Complete || len(resumed.Boots) != 2 {
		t.Fatalf("complete %v: %v", resumed.Complete, err)
	}
	if d := cmp.Diff(interrupted.Boots[0], resumed.Boots[0]); d != "" {
		t.Errorf("the finished boot was done again:\n%s", d)
	}
	if interrupted.WallSecs <= 0 || resumed.WallSecs <= interrupted.WallSecs || interrupted.AtOnce < 1 {
		t.Errorf("%v s until the interruption, %v s in all, %d guests at once", interrupted.WallSecs, resumed.WallSecs, interrupted.AtOnce)
	}

	other := o
	other.Dir, other.MemMiB = filepath.Join(t.TempDir(), "other"), o.MemMiB+1
	if _, err := Run(t.Context(), other); !errors.As(err, new(*PartsError)) {
		t.Errorf("the record of another plan was resumed: %v", err)
	}

	o.Part, o.Resume, o.Dir = Part{2, 2}, "", filepath.Join(t.TempDir(), "second")
	if _, err := record(t, t.Context(), o); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(t.TempDir(), "whole")
	if err := Merge(whole, []string{o.Dir, first}); err != nil {
		t.Fatal(err)
	}
	run, err := result.Load(whole)
	if err != nil {
		t.Fatal(err)
	}
	if !run.Complete || len(run.Boots) != 3 || run.Boots[1].ID != "boot1" || len(run.Cells) != o.Plan.Cells() {
		t.Errorf("complete %v, %d boots, %d of %d cells", run.Complete, len(run.Boots), len(run.Cells), o.Plan.Cells())
	}
}

// A record tells what was measured, not where on whose machine it went.
func TestWithout(t *testing.T) {
	for _, tt := range []struct{ command, want string }{
		{"run --boots 3 --out /home/me/x --full", "run --boots 3 --full"},
		{"run --out=/home/me/x --resume /home/me/y", "run"},
		{"run --outer x --out", "run --outer x"},
		{"run", "run"},
	} {
		if got := strings.Join(without(strings.Fields(tt.command), "--out", "--resume"), " "); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.command, got, tt.want)
		}
	}
}
