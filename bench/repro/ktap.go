// SPDX-License-Identifier: MIT

package repro

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// KTAP writes results in the kernel's test protocol
// (Documentation/dev-tools/ktap.rst): ok for a behaviour that was reproduced,
// XFAIL for one that the kernel has fixed, SKIP for one that is not applicable.
type KTAP struct {
	W       io.Writer
	Planned int  // so many results are to come
	Verbose bool // tell what was sent, what the queue held, what was read
	n       int
}

// Result writes one result, behind what there is to tell about it; the first
// behind the head, so that a machine where nothing can be run gets none.
func (k *KTAP) Result(r Result) error {
	var b strings.Builder
	if k.n == 0 {
		fmt.Fprintf(&b, "KTAP version 1\n1..%d\n", k.Planned)
	}
	k.n++
	tell := func(format string, args ...any) {
		for line := range strings.Lines(fmt.Sprintf(format, args...)) {
			fmt.Fprintf(&b, "# %s\n", strings.TrimRight(line, "\n"))
		}
	}
	tell("%s", r.Title)
	if k.Verbose {
		tell("%s", r.About)
	}
	k.tellRun(tell, r.Run)
	if len(r.Want) > 0 {
		tell("where it reproduces, that is:\n  %s", strings.Join(r.Want, "\n  "))
	}
	if m := r.Remedy; m != nil {
		switch {
		case m.Reason != "":
			tell("remedy: not in this kernel: %s", m.Reason)
		case m.Shown:
			tell("remedy:")
		default:
			tell("remedy: it does not do its work")
		}
		k.tellRun(tell, m.Run)
		if len(m.Want) > 0 {
			tell("where it does, that is:\n  %s", strings.Join(m.Want, "\n  "))
		}
	}
	status, why := "ok", string(r.Verdict)
	switch {
	case r.Err != "":
		status, why = "not ok", "error: "+r.Err
	case r.Verdict == NotApplicable:
		why = "SKIP not applicable: " + r.Reason
	case r.AsFixed:
		status, why = "not ok", "XFAIL not reproduced, as on a fixed kernel: "+r.Reason
	case r.Verdict == NotReproduced:
		status, why = "not ok", "not reproduced: "+r.Reason
	case !r.OK():
		status = "not ok"
	}
	fmt.Fprintf(&b, "%s %d %s # %s\n", status, k.n, r.Name, strings.ReplaceAll(why, "\n", "; "))
	_, err := io.WriteString(k.W, b.String())
	return err
}

// String is the paragraphs behind the title, in lines of at most 92 characters.
func (a About) String() string {
	var b strings.Builder
	for _, p := range []struct{ label, text string }{{"Shows", a.Shows}, {"Kernels", a.Kernels}, {"Fixed", a.Fixed}} {
		b.WriteString(p.label + ":")
		column := len(p.label) + 1
		for _, word := range strings.Fields(p.text) {
			if column+1+len(word) > 92 {
				b.WriteString("\n   ")
				column = 3
			}
			b.WriteString(" " + word)
			column += 1 + len(word)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// tellRun tells what a script printed, or all that it did.
func (k *KTAP) tellRun(tell func(string, ...any), run Run) {
	if !k.Verbose {
		for _, line := range run.Printed {
			tell("  %s", line)
		}
		return
	}
	for _, s := range run.Steps {
		tell("> %s", s.Script)
		for _, line := range slices.Concat(s.Notes, s.Printed) {
			tell("  %s", line)
		}
	}
}
