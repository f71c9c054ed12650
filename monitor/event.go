// SPDX-License-Identifier: MIT

package monitor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"wqfan/fserr"
	"wqfan/healthmon"
	"wqfan/internal/stream"
)

// Event is what the monitor says about an event: a line of its JSON output, and
// what a hook gets. What a channel does not report is not there.
type Event struct {
	Time    time.Time `json:"time"`    // when the kernel reported it, or when it was read where that is not known
	Kind    string    `json:"kind"`    // error, lost, removed, dropped (by the monitor itself)
	Backend string    `json:"backend"` // fan, wq, healthmon
	Mount   string    `json:"mount,omitempty"`
	Device  string    `json:"device,omitempty"`
	FSType  string    `json:"fstype,omitempty"`
	Class   string    `json:"class,omitempty"`
	Error   string    `json:"error,omitempty"` // name of the error number
	Errno   uint32    `json:"errno,omitempty"`
	Path    string    `json:"path,omitempty"`
	Ino     uint64    `json:"ino,omitempty"`
	Gen     *uint32   `json:"gen,omitempty"`
	Pos     *int64    `json:"pos,omitempty"` // start of the range in bytes
	Len     *uint64   `json:"len,omitempty"` // length of the range in bytes
	Count   *uint64   `json:"count,omitempty"`
	Seq     uint64    `json:"seq,omitempty"`
	Delay   float64   `json:"delay,omitempty"` // seconds from the kernel's report until it was read
	Detail  string    `json:"detail,omitempty"`
	Skipped uint64    `json:"skipped,omitempty"` // to a hook: events since its last run that it is not told of
}

// taken is an event on its way to the sinks, with bytes of its own.
type taken struct {
	fserr.Event
	from *watched // nil: of the channel as a whole, or of a filesystem that is gone
	by   string
	now  time.Time // when it was taken
}

// keep makes the bytes that belong to the source our own.
func (t *taken) keep() *taken {
	k := *t
	k.Handle.Bytes = slices.Clone(t.Handle.Bytes)
	k.Record.Bytes = slices.Clone(t.Record.Bytes)
	return &k
}

// reported returns when the kernel reported the event, if the channel tells.
func (t *taken) reported() (time.Time, bool) {
	switch {
	case t.Is(fserr.HasTime):
		return t.now.Add(time.Duration(t.Time - stream.Now())), true
	case t.by == HealthMon && t.Is(fserr.HasRecord):
		r, err := healthmon.Parse(t.Record.Bytes)
		return r.Time, err == nil
	}
	return time.Time{}, false
}

// delay returns how long the event waited for its reader.
func (t *taken) delay() (time.Duration, bool) {
	if t.Is(fserr.HasTime) {
		return time.Duration(t.Recv - t.Time), true
	}
	at, ok := t.reported()
	return max(0, t.now.Sub(at)), ok
}

// describe puts an event into words.
func describe(t *taken, paths *resolver) Event {
	e := Event{Time: t.now, Kind: t.Kind.String(), Backend: t.by}
	if at, ok := t.reported(); ok {
		e.Time = at
	}
	if d, ok := t.delay(); ok {
		e.Delay = d.Seconds()
	}
	if m := t.from; m != nil {
		e.Mount, e.Device, e.FSType = m.Dir, m.Device(), m.Type
		if t.Kind == fserr.Error {
			e.Path = paths.path(m, &t.Event)
		}
	}
	if t.Is(fserr.HasClass) {
		e.Class = t.Class.String()
	}
	if t.Is(fserr.HasErrno) {
		e.Error, e.Errno = t.Errno.String(), uint32(t.Errno)
	}
	if t.Is(fserr.HasInode) {
		e.Ino, e.Gen = t.Ino, &t.Gen
	}
	if t.Is(fserr.HasRange) {
		e.Pos, e.Len = &t.Pos, &t.Len
	}
	if t.Is(fserr.HasCount) {
		e.Count = &t.Count
	}
	if t.Is(fserr.HasSeq) {
		e.Seq = t.Seq
	}
	if t.Kind == fserr.Error && t.Is(fserr.HasRecord) {
		e.Detail = t.Record.String()
		if t.by != HealthMon {
			if says, err := t.Record.Decode(); err == nil {
				e.Detail = says.String()
			}
		} else if r, err := healthmon.Parse(t.Record.Bytes); err == nil {
			e.Detail = "xfs: " + r.String()
		}
	}
	return e
}

// JSON returns the event as one line.
func (e Event) JSON() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // no field can make it fail
	}
	return append(b, '\n')
}

// String returns the event as a line for people, without an end of line. What is
// not printable is quoted: names come from the filesystem.
func (e Event) String() string {
	var b strings.Builder
	b.WriteString(e.Time.Local().Format("15:04:05.000"))
	switch e.Kind {
	case "lost":
		b.WriteString(" LOST")
	case "dropped":
		b.WriteString(" DROPPED")
	}
	if e.Mount != "" {
		fmt.Fprintf(&b, " %s (%s, %s)", printable(e.Mount), printable(e.Device), e.FSType)
	}
	switch e.Kind {
	case "lost":
		if e.Count == nil {
			fmt.Fprintf(&b, " an unknown number of events: the queue of %s was full", e.Backend)
		} else {
			fmt.Fprintf(&b, " %d events: the queue of %s was full", *e.Count, e.Backend)
		}
		return b.String()
	case "dropped":
		fmt.Fprintf(&b, " %d events that were read: this output is too slow", *e.Count)
		return b.String()
	case "removed":
		b.WriteString(" unmounted")
		return b.String()
	}
	for _, s := range []string{e.Class, e.Error, printable(e.Path)} {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	if e.Ino != 0 {
		fmt.Fprintf(&b, " inode %d", e.Ino)
	}
	if e.Pos != nil {
		fmt.Fprintf(&b, " bytes %d+%d", *e.Pos, *e.Len)
	}
	if e.Count != nil && *e.Count != 1 {
		fmt.Fprintf(&b, " ×%d", *e.Count)
	}
	if e.Detail != "" {
		b.WriteString(" [" + printable(e.Detail) + "]")
	}
	return b.String()
}

func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}
