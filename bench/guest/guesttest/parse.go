// SPDX-License-Identifier: MIT

package guesttest

import (
	"regexp"
	"strings"
)

// marker starts what the testing package says by itself under
// -test.v=test2json, also in the middle of a line.
const marker = "\x16"

var (
	started  = regexp.MustCompile(`^=== (?:RUN|CONT|NAME) +(\S*)$`)
	paused   = regexp.MustCompile(`^=== PAUSE +\S+$`)
	finished = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \([0-9.]+s\)$`)
)

// outcome is one test.
type outcome struct {
	name     string // full: TestX/sub
	parent   *outcome
	status   string // PASS, FAIL, SKIP, or "" before its end
	output   []string
	children []*outcome
}

// short is the name below the parent's.
func (o *outcome) short() string {
	if o.parent == nil || o.parent.name == "" {
		return o.name
	}
	return strings.TrimPrefix(o.name, o.parent.name+"/")
}

// parser makes a tree of tests of a test binary's output.
type parser struct {
	top     outcome // its output is what belongs to no test
	tests   map[string]*outcome
	current *outcome
	partial []byte // the current line
}

// write takes the next piece of output.
func (p *parser) write(text string) {
	for {
		line, rest, ok := strings.Cut(text, "\n")
		p.partial = append(p.partial, line...)
		if !ok {
			return
		}
		p.flush()
		text = rest
	}
}

// flush takes an unfinished last line.
func (p *parser) flush() {
	line := string(p.partial)
	p.partial = p.partial[:0]
	p.line(line)
}

// failed says whether a test failed or did not end.
func (p *parser) failed() bool {
	for _, t := range p.tests {
		if t.status != "PASS" && t.status != "SKIP" {
			return true
		}
	}
	return false
}

func (p *parser) line(line string) {
	for {
		before, after, ok := strings.Cut(line, marker)
		if !ok {
			p.print(line)
			return
		}
		if before != "" {
			p.print(before)
		}
		line = after
		if p.event(line) {
			return
		}
	}
}

// event takes a line of the testing package's own.
func (p *parser) event(line string) bool {
	if m := started.FindStringSubmatch(line); m != nil {
		p.current = nil
		if m[1] != "" {
			p.current = p.test(m[1])
		}
		return true
	}
	if paused.MatchString(line) {
		return true
	}
	if m := finished.FindStringSubmatch(line); m != nil {
		// What follows is the test's, up to the next event.
		p.current = p.test(m[2])
		p.current.status = m[1]
		return true
	}
	return false
}

func (p *parser) print(line string) {
	if line == "" {
		return
	}
	if line == "PASS" || line == "FAIL" {
		p.current = nil
		return
	}
	t := p.current
	if t == nil {
		t = &p.top
	}
	// The testing package indents what is logged; so will ours.
	t.output = append(t.output, strings.TrimRight(strings.TrimPrefix(line, "    "), " \r"))
}

// test finds the test of this name, or adds it below its parent: the longest
// name that is this one up to a slash.
func (p *parser) test(name string) *outcome {
	if t := p.tests[name]; t != nil {
		return t
	}
	t := &outcome{name: name, parent: &p.top}
	for up := name; strings.Contains(up, "/"); {
		up = up[:strings.LastIndexByte(up, '/')]
		if parent := p.tests[up]; parent != nil {
			t.parent = parent
			break
		}
	}
	t.parent.children = append(t.parent.children, t)
	if p.tests == nil {
		p.tests = map[string]*outcome{}
	}
	p.tests[name] = t
	return t
}
