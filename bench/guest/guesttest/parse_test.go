// SPDX-License-Identifier: MIT

package guesttest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wqfan/internal/golden"
)

// dump writes the tree of tests, one line each, output below.
func dump(p *parser) string {
	var b strings.Builder
	var walk func(o *outcome, indent string)
	walk = func(o *outcome, indent string) {
		for _, l := range o.output {
			fmt.Fprintf(&b, "%s| %s\n", indent, l)
		}
		for _, c := range o.children {
			fmt.Fprintf(&b, "%s%s %q\n", indent, c.short(), c.status)
			walk(c, indent+"  ")
		}
	}
	walk(&p.top, "")
	fmt.Fprintf(&b, "failed %v\n", p.failed())
	return b.String()
}

// TestParse reads what test binaries really wrote under -test.v=test2json.
func TestParse(t *testing.T) {
	files, err := filepath.Glob("testdata/*.out")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var p parser
			p.write(string(text))
			p.flush()
			golden.Compare(t, strings.TrimSuffix(file, ".out")+".golden", []byte(dump(&p)))
		})
	}
}

// FuzzParse: whatever the output and however it is cut, no line is lost but the
// testing package's own, and the tree is a tree.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.out")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, 7)
	}
	f.Add([]byte("\x16=== RUN   A/B/C\n\x16=== RUN   A/B\n\x16--- PASS: A/B (0.1s)\n\x16"), 1)
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		var whole, cut parser
		whole.write(string(text))
		whole.flush()
		step = max(1, step)
		for rest := text; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			cut.write(string(rest[:min(step, len(rest))]))
		}
		cut.flush()
		if a, b := dump(&whole), dump(&cut); a != b {
			t.Fatalf("in one piece:\n%s\nin pieces of %d:\n%s", a, step, b)
		}
		n := 0
		var walk func(o *outcome)
		walk = func(o *outcome) {
			for _, c := range o.children {
				n++
				if c.parent != o {
					t.Fatalf("%s is below another test", c.name)
				}
				walk(c)
			}
		}
		walk(&whole.top)
		if n != len(whole.tests) {
			t.Fatalf("%d tests in the tree, %d by name", n, len(whole.tests))
		}
		if bytes.Count(text, []byte(marker)) == 0 && len(whole.tests) > 0 {
			t.Fatal("tests without a marker")
		}
	})
}
