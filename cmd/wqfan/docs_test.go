// SPDX-License-Identifier: MIT

package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"wqfan/bench/campaign"
)

// What the documentation and the examples have readers type is what the program
// takes: a flag, a command or a scenario that is gone is noticed here.
func TestDocumentedCommands(t *testing.T) {
	var names []string
	for _, pattern := range []string{"../../README.md", "../../CONTRIBUTING.md", "../../docs/*.md", "../../examples/*", "../../contrib/*.service"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if filepath.Ext(name) == ".md" {
			text = codeBlocks(text)
		}
		commands := commandsIn(text)
		if len(commands) == 0 && filepath.Dir(name) != "../.." {
			t.Errorf("%s has no command of wqfan", name)
		}
		for _, args := range commands {
			if err := takes(args); err != nil {
				t.Errorf("%s: wqfan %s: %v", name, strings.Join(args, " "), err)
			}
		}
	}
}

// takes says why the program would refuse the arguments, whatever files there are.
func takes(args []string) error {
	anything := kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		if target.Kind() == reflect.Slice {
			for _, t := range ctx.Scan.PopWhile(kong.Token.IsValue) {
				target.Set(reflect.Append(target, reflect.ValueOf(t.String())))
			}
			return nil
		}
		return ctx.Scan.PopValueInto("file", target.Addr().Interface())
	})
	var c cli
	k, err := kong.New(&c, kong.Name("wqfan"), kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard),
		kong.NamedMapper("existingfile", anything), kong.NamedMapper("existingdir", anything))
	if err != nil {
		return err
	}
	if _, err := k.Parse(args); err != nil {
		return err
	}
	switch args[0] {
	case "run":
		if c.Run.Shard != "" {
			if _, err := campaign.ParsePart(c.Run.Shard); err != nil {
				return err
			}
		}
		_, err = c.Run.options()
	case "scenarios":
		_, err = c.Scenarios.plan()
	}
	return err
}

// codeBlocks returns what stands between fences.
func codeBlocks(markdown string) string {
	var out []string
	inside := false
	for line := range strings.Lines(markdown) {
		if strings.HasPrefix(line, "```") {
			inside = !inside
		} else if inside {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

var (
	continued = regexp.MustCompile(`\\\n[#\s]*`)
	computed  = regexp.MustCompile(`\$\{\{[^}]*\}\}|\$\(\([^)]*\)\)`)                                                      // of GitHub and of the shell: a number, wherever there is one
	program   = regexp.MustCompile(`(?:^\s*|^#\t|\$ |\(|&& |; |exec |run: |sudo |→ |^ExecStart=)(?:[\w./]*/)?wqfan[ \t]+`) // where a command begins
)

// commandsIn returns the arguments of each wqfan in a script, as far as they can
// be told without a shell. Words with bars between them are one of several.
func commandsIn(text string) (all [][]string) {
	text = computed.ReplaceAllString(continued.ReplaceAllString(text, " "), "1")
	for line := range strings.Lines(text) {
		for _, at := range program.FindAllStringIndex(line, -1) {
			commands := [][]string{nil}
			for word := range strings.FieldsSeq(line[at[1]:]) {
				end := strings.IndexAny(word+";", ");")
				last := end < len(word)
				word = strings.Trim(word[:end], `"'[]`)
				if strings.ContainsAny(word[:min(1, len(word))], "|#&>") {
					break
				}
				var next [][]string
				for _, c := range commands {
					for one := range strings.SplitSeq(word, "|") {
						next = append(next, append(c[:len(c):len(c)], one))
					}
				}
				if commands = next; last {
					break
				}
			}
			if commands[0] != nil {
				all = append(all, commands...)
			}
		}
	}
	return all
}

func TestCommandsIn(t *testing.T) {
	const text = `#	wqfan merge --out whole \
#	  part-*   # a comment
# wqfan with a kernel
cp "$(dirname "$(bin/wqfan kernel path)")/." share && bin/wqfan export ktap|kcidb DIR > out
share/wqfan run --shard ${{ matrix.shard }}/5 [--full]
exec wqfan run --shard $((INDEX + 1))/5 --out "$out"; wqfan: no command
`
	want := [][]string{
		{"merge", "--out", "whole", "part-*"}, {"kernel", "path"}, {"export", "ktap", "DIR"}, {"export", "kcidb", "DIR"},
		{"run", "--shard", "1/5", "--full"}, {"run", "--shard", "1/5", "--out", "$out"},
	}
	if d := cmp.Diff(want, commandsIn(text)); d != "" {
		t.Error(d)
	}
	for _, bad := range [][]string{{"run", "--no-such"}, {"run", "no-such"}, {"run", "--shard", "3/2"}, {"scenarios", "--arm", "no-such"}, {"compare", "one"}, {"no-such"}} {
		if takes(bad) == nil {
			t.Errorf("wqfan %v is taken", bad)
		}
	}
}

// docs/evidence.md shows how the mail begins.
func TestMailInDocs(t *testing.T) {
	mail, err := os.ReadFile("../../bench/report/testdata/lkml.txt")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	head := strings.Join(strings.SplitAfterN(string(mail), "\n", 7)[:6], "")
	if !strings.Contains(string(docs), "head -6 reports/local/*/lkml.txt\n```\n\n```\n"+head+"```\n") {
		t.Errorf("docs/evidence.md does not begin the mail with:\n%s", head)
	}
}
