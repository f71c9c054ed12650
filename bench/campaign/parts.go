// SPDX-License-Identifier: MIT

package campaign

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wqfan/bench/result"
	"wqfan/bench/scenario"
)

// Part is one of several parts of a plan: every Of-th boot, from the Index-th
// on. Index counts from 1; the zero value is all of the plan.
type Part struct{ Index, Of int }

// ParsePart reads I/N.
func ParsePart(s string) (Part, error) {
	var p Part
	if n, err := fmt.Sscanf(s, "%d/%d", &p.Index, &p.Of); err != nil || n != 2 || p.String() != s || p.Index < 1 || p.Index > p.Of {
		return Part{}, fmt.Errorf("part %q of a plan: want I/N, with I from 1 to N", s)
	}
	return p, nil
}

func (p Part) String() string {
	if p.Of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", p.Index, p.Of)
}

// Take returns the boots of a plan that belong to the part.
func (p Part) Take(plan scenario.Plan) scenario.Plan {
	if p.Of == 0 {
		return plan
	}
	var out scenario.Plan
	for i, b := range plan.Boots {
		if i%p.Of == p.Index-1 {
			out.Boots = append(out.Boots, b)
		}
	}
	return out
}

// planHash names what is planned, on every machine that has a part of it.
func planHash(o Options) (string, error) {
	b, err := json.Marshal(struct {
		Plan   scenario.Plan
		Mode   result.Mode
		MemMiB int
		Append []string
	}{o.Plan, o.Mode, o.MemMiB, o.Append})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:12], err
}

// copyBoot records a boot of another record, with its cells and its console.
func copyBoot(w *result.Writer, dir string, from *result.Run, fromDir, id string) error {
	i := slices.IndexFunc(from.Boots, func(b result.Boot) bool { return b.ID == id })
	if err := w.Boot(from.Boots[i]); err != nil {
		return err
	}
	for _, c := range from.Cells {
		if c.Boot != id {
			continue
		}
		c.Hists = slices.Clone(c.Hists)
		for i, h := range c.Hists {
			var err error
			if c.Hists[i], err = h.Again(); err != nil {
				return err
			}
		}
		if err := w.Cell(c); err != nil {
			return err
		}
	}
	serial := from.Boots[i].Serial
	if serial == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(fromDir, serial))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // committed evidence has no consoles
	}
	if err != nil {
		return fmt.Errorf("copy a console: %w", err)
	}
	return result.WriteFile(filepath.Join(dir, serial), b)
}

// finished loads the record that is to be resumed; nil where there is none.
func (o Options) finished(header *result.Run) (*result.Run, error) {
	if o.Resume == "" {
		return nil, nil
	}
	run, err := result.Load(o.Resume)
	if err != nil {
		return nil, err
	}
	if run.Shard != header.Shard {
		return nil, &PartsError{fmt.Sprintf("it is part %q of a plan, part %q is asked for", run.Shard, header.Shard)}
	}
	for _, b := range run.Boots {
		for v, k := range o.Kernels {
			known := b.Kernel
			known.Release, known.Cmdline = k.Record.Release, k.Record.Cmdline
			if known.Variant == k.Record.Variant && known != k.Record {
				return nil, &PartsError{fmt.Sprintf("it booted another %s kernel", v)}
			}
		}
	}
	if why := unlike(run, header); why != "" {
		return nil, &PartsError{"its record and this run have different " + why}
	}
	return run, nil
}

// takeOver copies a boot that the resumed run has finished.
func (c *campaign) takeOver(b scenario.Boot) (bool, error) {
	if c.before == nil || !slices.ContainsFunc(c.before.Boots, func(have result.Boot) bool {
		return have.ID == b.ID && have.Verdict == "ok" && have.Mode == c.mode(b.CPUs)
	}) {
		return false, nil
	}
	c.say("%s: taken over from %s", b.ID, c.Resume)
	c.done += len(b.Cells)
	return true, copyBoot(c.w, c.dir, c.before, c.Resume, b.ID)
}

// A PartsError says why records do not belong together.
type PartsError struct{ Why string }

func (e *PartsError) Error() string { return "the parts do not belong together: " + e.Why }

// Merge joins the records of all parts of a plan into the record dir, which one
// machine that had done all of it would have written, but for the times of day.
// It refuses, with a *[PartsError], parts of different plans, kernels, machines
// or programs, a part that is there twice and one that is not there.
func Merge(dir string, parts []string) error {
	type part struct {
		dir string
		run *result.Run
		Part
	}
	var ps []part
	for _, name := range parts {
		run, err := result.Load(name)
		if err != nil {
			return err
		}
		p, err := ParsePart(run.Shard)
		if err != nil {
			return &PartsError{name + " is no part: it was not made with --shard"}
		}
		ps = append(ps, part{name, run, p})
	}
	if len(ps) == 0 {
		return &PartsError{"there are none"}
	}
	slices.SortStableFunc(ps, func(a, b part) int { return cmp.Compare(a.Index, b.Index) })
	first := ps[0]
	header := &result.Run{Started: first.run.Started, Command: without(first.run.Command, "--shard"), Plan: first.run.Plan, Host: first.run.Host}
	var reasons []string
	from := map[string]string{} // boot → the part that has it
	for i, p := range ps {
		if why := unlike(first.run, p.run); why != "" {
			return &PartsError{fmt.Sprintf("%s and %s have different %s", first.dir, p.dir, why)}
		}
		switch {
		case p.Part.Of != first.Part.Of:
			return &PartsError{fmt.Sprintf("%s is part %s, %s is part %s", first.dir, first.Part, p.dir, p.Part)}
		case i > 0 && p.Index == ps[i-1].Index:
			return &PartsError{fmt.Sprintf("part %s is there twice: %s and %s", p.Part, ps[i-1].dir, p.dir)}
		case p.Index != i+1:
			return &PartsError{fmt.Sprintf("part %s is missing", Part{i + 1, p.Part.Of})}
		}
		for _, b := range p.run.Boots {
			if other := from[b.ID]; other != "" {
				return &PartsError{fmt.Sprintf("%s and %s both have %s", other, p.dir, b.ID)}
			}
			from[b.ID] = p.dir
		}
		header.Planned += p.run.Planned
		if p.run.Started.Before(header.Started) {
			header.Started = p.run.Started
		}
		if !p.run.Complete {
			reasons = append(reasons, fmt.Sprintf("part %s: %s", p.Part, p.run.Reason))
		}
	}
	if len(ps) < first.Part.Of {
		return &PartsError{fmt.Sprintf("part %s is missing", Part{len(ps) + 1, first.Part.Of})}
	}

	w, err := result.Create(dir, header)
	if err != nil {
		return err
	}
	for _, p := range ps {
		for _, b := range p.run.Boots {
			if err := copyBoot(w, dir, p.run, p.dir, b.ID); err != nil {
				return err
			}
		}
	}
	return w.Finish(len(reasons) == 0, strings.Join(reasons, "; "))
}

// without is the command without some of its flags, each of which takes a word.
func without(command []string, flags ...string) []string {
	var out []string
	for i := 0; i < len(command); i++ {
		name, _, joined := strings.Cut(command[i], "=")
		if !slices.Contains(flags, name) {
			out = append(out, command[i])
		} else if !joined {
			i++
		}
	}
	return out
}

// unlike says what of two records keeps them from being parts of one. Where
// instructions are counted, the processor below the emulator does not matter.
func unlike(a, b *result.Run) string {
	kernels := func(r *result.Run) map[string]result.Kernel {
		m := map[string]result.Kernel{}
		for _, b := range r.Boots {
			k := b.Kernel
			k.Cmdline = "" // the guest's own: differs with the number of disks
			m[k.Variant] = k
		}
		return m
	}
	ka, kb := kernels(a), kernels(b)
	for v, k := range ka {
		if other, ok := kb[v]; ok && other != k {
			return "kernels"
		}
	}
	counted := true
	for _, x := range a.Boots {
		counted = counted && x.Mode == result.ICount
		for _, y := range b.Boots {
			if x.CPUs == y.CPUs && x.Mode != y.Mode {
				return "modes"
			}
		}
	}
	switch ha, hb := a.Host, b.Host; {
	case a.Plan == "" || a.Plan != b.Plan:
		return "plans"
	case ha.Revision != hb.Revision || ha.Go != hb.Go:
		return "revisions of wqfan"
	case ha.QEMU != hb.QEMU:
		return "versions of QEMU"
	case ha.CPU != hb.CPU && !counted:
		return "machines"
	}
	return ""
}
