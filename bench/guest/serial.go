// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// errFlooded says that the console wrote more than it may.
var errFlooded = errors.New("console flooded")

// Lines kept around the first line that says the kernel went wrong.
const (
	linesBefore = 10
	linesAfter  = 20
)

// maxSerialLine bounds what is kept of a line; the log has all of it.
const maxSerialLine = 512

var (
	// A line of printk, without or with its time and thread. One with them may
	// begin in the middle of what a process writes: a panic waits for nobody.
	printk = regexp.MustCompile(`^(?:.*?\[ *\d+\.\d{6}\] ?(?:\[ *[CT]\d+\] ?)?)?(.*)$`)
	bad    = regexp.MustCompile(`^(?:watchdog: )?(?:` +
		`Kernel panic - not syncing|BUG: |Oops: |Oops:|kernel BUG at |general protection fault|` +
		`Internal error: |UBSAN: |PANIC: |double fault: )`)
	warning = regexp.MustCompile(`^(?:rcu: )?(?:WARNING: |INFO: task |INFO: possible |INFO: rcu_|INFO: trying to register )`)
)

// serialLog copies the guest's console to w and watches it.
type serialLog struct {
	w     io.Writer
	max   int64
	size  int64
	line  []byte // the current one
	tail  []string
	alarm string   // first line that says that the kernel went wrong
	ctx   []string // lines around it
	after int      // lines of ctx still to come

	warnings []string
}

func newSerialLog(w io.Writer, max int64) *serialLog {
	return &serialLog{w: w, max: max}
}

// Write implements io.Writer. It fails with errFlooded after max bytes.
func (s *serialLog) Write(p []byte) (int, error) {
	n := len(p)
	if over := s.size + int64(n) - s.max; over > 0 {
		p = p[:int64(n)-over]
	}
	s.size += int64(len(p))
	s.scan(p)
	if _, err := s.w.Write(p); err != nil {
		return 0, err
	}
	if len(p) < n {
		fmt.Fprintf(s.w, "\n[wqfan: more than %d bytes of console output: guest killed]\n", s.max)
		return len(p), errFlooded
	}
	return n, nil
}

func (s *serialLog) scan(p []byte) {
	for len(p) > 0 {
		part, rest, eol := bytes.Cut(p, []byte{'\n'})
		p = rest
		if room := maxSerialLine - len(s.line); room > 0 {
			s.line = append(s.line, part[:min(room, len(part))]...)
		}
		if eol {
			s.endLine()
		}
	}
}

func (s *serialLog) endLine() {
	line := strings.ToValidUTF8(strings.TrimRight(string(s.line), "\r"), "?")
	s.line = s.line[:0]
	if line == "" {
		return
	}
	if len(s.tail) == linesBefore {
		s.tail = append(s.tail[:0], s.tail[1:]...)
	}
	s.tail = append(s.tail, line)

	if s.after > 0 {
		s.after--
		s.ctx = append(s.ctx, line)
	}
	text := printk.FindStringSubmatch(line)[1]
	switch {
	case s.alarm == "" && bad.MatchString(text):
		s.alarm = text
		s.ctx = append(s.ctx, s.tail...)
		s.after = linesAfter
	case warning.MatchString(text) && len(s.warnings) < 100:
		s.warnings = append(s.warnings, text)
	}
}

// flush ends an unfinished last line.
func (s *serialLog) flush() {
	if len(s.line) > 0 {
		s.endLine()
	}
}
