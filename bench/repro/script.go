// SPDX-License-Identifier: MIT

package repro

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

//go:embed behaviours/*.txtar
var scripts embed.FS

// About is what a behaviour says of itself.
type About struct {
	Name    string `json:"name"`    // of its file
	Title   string `json:"title"`   // what is seen, in one line
	Shows   string `json:"shows"`   // what the script does, and what is to be seen
	Kernels string `json:"kernels"` // which kernels show it
	Fixed   string `json:"fixed"`   // what a fixed kernel does, and by which patch
}

// Behaviour is one script.
type Behaviour struct {
	About

	script     []step
	reproduced []string
	fixed      []string // nil: no kernel does otherwise
	remedy     []step   // nil: there is nothing to ask for
	remedied   []string
}

// step is one line of a script.
type step struct {
	text       string // as it is written
	command    *command
	args       []string // words without the command's own
	options    map[string]string
	background bool // ends with &
}

// has says whether an option stands in the line.
func (st step) has(option string) bool {
	_, ok := st.options[option]
	return ok
}

// All returns the behaviours in the order of their names.
func All() ([]Behaviour, error) {
	names, err := fs.Glob(scripts, "behaviours/*.txtar")
	if err != nil {
		return nil, err
	}
	all := make([]Behaviour, len(names))
	for i, name := range names {
		data, err := scripts.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if all[i], err = parse(strings.TrimSuffix(path.Base(name), ".txtar"), data); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Select returns the behaviours that are named, in that order; "all" is all of
// them.
func Select(names []string) ([]Behaviour, error) {
	all, err := All()
	if err != nil || slices.Contains(names, "all") {
		return all, err
	}
	selected := make([]Behaviour, len(names))
	for i, name := range names {
		j := slices.IndexFunc(all, func(b Behaviour) bool { return b.Name == name })
		if j < 0 {
			return nil, fmt.Errorf("no behaviour %q: `wqfan repro list` lists them", name)
		}
		selected[i] = all[j]
	}
	return selected, nil
}

// parse reads a script.
func parse(name string, data []byte) (Behaviour, error) {
	a := txtar.Parse(data)
	b := Behaviour{About: About{Name: name}}
	bad := func(err error) (Behaviour, error) { return b, fmt.Errorf("behaviour %s: %w", name, err) }
	head, body := cutHead(a.Comment)
	if err := b.describe(head); err != nil {
		return bad(err)
	}
	var err error
	if b.script, err = parseSteps(body); err != nil {
		return bad(err)
	}
	for _, f := range a.Files {
		switch f.Name {
		case "reproduced":
			b.reproduced = lines(f.Data)
		case "fixed":
			b.fixed = lines(f.Data)
		case "remedy":
			b.remedy, err = parseSteps(f.Data)
		case "remedied":
			b.remedied = lines(f.Data)
		default:
			err = fmt.Errorf("section %q: want reproduced, fixed, remedy or remedied", f.Name)
		}
		if err != nil {
			return bad(err)
		}
	}
	switch {
	case len(b.script) == 0:
		return bad(fmt.Errorf("no script"))
	case (b.remedy == nil) != (b.remedied == nil):
		return bad(fmt.Errorf("a remedy without what it prints, or the other way round"))
	}
	return b, nil
}

// cutHead cuts the comment that a script begins with.
func cutHead(script []byte) (head []string, body []byte) {
	for len(script) > 0 && script[0] == '#' {
		line, rest, _ := bytes.Cut(script, []byte("\n"))
		head = append(head, strings.TrimSpace(strings.TrimPrefix(string(line), "#")))
		script = rest
	}
	return head, script
}

// describe takes the title and the labelled paragraphs from the head.
func (b *Behaviour) describe(head []string) error {
	paragraphs := map[string]*string{"Shows": &b.Shows, "Kernels": &b.Kernels, "Fixed": &b.Fixed}
	into := &b.Title
	for _, line := range head {
		if label, rest, ok := strings.Cut(line, ": "); ok && paragraphs[label] != nil {
			into, line = paragraphs[label], rest
		}
		*into = strings.TrimSpace(*into + " " + line)
	}
	if b.Title == "" || b.Shows == "" || b.Kernels == "" || b.Fixed == "" {
		return fmt.Errorf("the head wants a title and the paragraphs Shows, Kernels and Fixed")
	}
	return nil
}

func parseSteps(script []byte) ([]step, error) {
	steps := []step{}
	for _, text := range lines(script) {
		if strings.HasPrefix(text, "#") {
			continue
		}
		s := step{text: text, options: map[string]string{}}
		words := strings.Fields(text)
		if s.command = vocabulary[words[0]]; s.command == nil {
			return nil, fmt.Errorf("%q: no command %q", text, words[0])
		}
		for _, w := range words[1:] {
			switch key, value, ok := strings.Cut(w, "="); {
			case w == "&":
				s.background = true
			case slices.Contains(s.command.options, w):
				s.options[w] = ""
			case ok && slices.Contains(s.command.options, key+"="):
				s.options[key] = value
			default:
				s.args = append(s.args, w)
			}
		}
		if n := len(s.args); n < s.command.min || n > s.command.max {
			return nil, fmt.Errorf("%q: want %s", text, s.command.usage)
		}
		if s.background && !s.command.background {
			return nil, fmt.Errorf("%q: %s does not go to the background", text, words[0])
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// lines returns the lines that are not blank, without the blanks around them.
// It is not nil.
func lines(data []byte) []string {
	all := []string{}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}
