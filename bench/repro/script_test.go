// SPDX-License-Identifier: MIT

package repro

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every behaviour can be read, prints only what its commands can print, and is
// called after its channel.
func TestBehaviours(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^(fan|wq|fserror)-[a-z0-9]+(-[a-z0-9]+)*$`)
	for _, b := range all {
		t.Run(b.Name, func(t *testing.T) {
			if !name.MatchString(b.Name) {
				t.Error("its name does not begin with fan-, wq- or fserror-")
			}
			if len(b.Title) > 90 {
				t.Errorf("the title has %d characters", len(b.Title))
			}
			checkPrinted(t, b.script, b.reproduced)
			checkPrinted(t, b.script, b.fixed)
			checkPrinted(t, b.remedy, b.remedied)
		})
	}
}

func checkPrinted(t *testing.T, script []step, want []string) {
	t.Helper()
	for _, line := range want {
		what, _, _ := strings.Cut(line, ": ")
		if !slices.ContainsFunc(script, func(s step) bool { return strings.HasPrefix(s.text+" ", what+" ") }) {
			t.Errorf("no line of the script can print %q", line)
		}
	}
}

// What CONTRIBUTING.md says about scripts is so.
func TestContributing(t *testing.T) {
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vocabulary)) {
		c := vocabulary[name]
		if !strings.HasPrefix(c.usage, name) {
			t.Errorf("%s: the usage is %q", name, c.usage)
		}
		fmt.Fprintf(&table, "| `%s` | %s |\n", c.usage, c.about)
	}
	if !strings.Contains(string(text), "|---|---|\n"+table.String()+"\n") {
		t.Errorf("the table of commands is another:\n%s", &table)
	}
	example, err := scripts.ReadFile("behaviours/wq-loss-late.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "```\n"+string(example)+"```\n") {
		t.Errorf("the example is another:\n%s", example)
	}
}

const head = "# A title.\n#\n# Shows: this\n# and that.\n# Kernels: all.\n# Fixed: never.\n\n"

func TestParse(t *testing.T) {
	got, err := parse("fan-x", []byte(head+"group g max=1 # no comment\nkeys q 3 &\n-- reproduced --\nread g: nothing\n\n-- fixed --\n"))
	if err == nil {
		t.Errorf("words behind the arguments were taken: %+v", got)
	}
	got, err = parse("fan-x", []byte(head+"# a comment\ngroup g max=1\nkeys q 3 &\n-- reproduced --\n  read g: nothing\n\n-- fixed --\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Title != "A title." || got.Shows != "this and that." || got.Kernels != "all." || got.Fixed != "never." {
		t.Errorf("head: %+v", got)
	}
	if d := cmp.Diff([]string{"read g: nothing"}, got.reproduced); d != "" {
		t.Error(d)
	}
	if got.fixed == nil || len(got.fixed) != 0 {
		t.Errorf("fixed is %#v, want printing nothing", got.fixed)
	}
	if s := got.script; len(s) != 2 || s[0].options["max"] != "1" || !slices.Equal(s[0].args, []string{"g"}) || !s[1].background || s[0].background {
		t.Errorf("script: %+v", s)
	}
}

func TestParseRefusals(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"group g\n", "the head wants"},
		{"# A title.\n# Shows: x\ngroup g\n", "the head wants"},
		{head, "no script"},
		{head + "frobnicate g\n", `no command "frobnicate"`},
		{head + "group\n", "want group G"},
		{head + "group g h\n", "want group G"},
		{head + "group g min=3\n", "want group G"},
		{head + "mount fs &\n", "does not go to the background"},
		{head + "group g\n-- expected --\n", `section "expected"`},
		{head + "group g\n-- remedy --\ngroup g\n", "a remedy without"},
		{head + "group g\n-- remedied --\nread g: nothing\n", "a remedy without"},
	} {
		if _, err := parse("fan-x", []byte(tt.script)); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "behaviour fan-x: ") {
			t.Errorf("%q: got %v, want %q", tt.script, err, tt.want)
		}
	}
}

func TestSelect(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Select([]string{"wq-loss-late", "fan-limit-one"})
	if err != nil || len(got) != 2 || got[0].Name != "wq-loss-late" || got[1].Name != "fan-limit-one" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := Select([]string{"all"}); err != nil || len(got) != len(all) {
		t.Errorf("all: %d of %d, %v", len(got), len(all), err)
	}
	if _, err := Select([]string{"wq-nonsense"}); err == nil || !strings.Contains(err.Error(), `no behaviour "wq-nonsense"`) {
		t.Errorf("got %v", err)
	}
}
