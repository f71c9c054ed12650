// SPDX-License-Identifier: MIT

package repro

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fan"
	"wqfan/fserr"
	"wqfan/internal/fanlimit"
	"wqfan/wq"
)

// command is a word of the scripts' vocabulary.
type command struct {
	usage      string
	about      string
	min, max   int      // number of arguments
	options    []string // "name" is a flag, "name=" takes a value
	background bool     // may end with &
	run        func(*stage, step) error
}

// vocabulary is what scripts are written in; CONTRIBUTING.md has it as a table.
var vocabulary = map[string]*command{
	"needs": {usage: "needs [cpus=N] [linux=V] [guest] [injector]", about: "the behaviour is not applicable without",
		options: []string{"cpus=", "linux=", "guest", "injector"}, run: (*stage).needs},
	"kunit": {usage: "kunit SUITE CASE", about: "print whether a KUnit test passed while the kernel booted",
		min: 2, max: 2, run: (*stage).kunit},
	"memory": {usage: "memory MIB", about: "take memory until so many MiB are free (in a guest)",
		min: 1, max: 1, run: func(s *stage, st step) error {
			mib, err := number(st.args[0])
			if err != nil {
				return err
			}
			return s.leave(mib)
		}},
	"mount": {usage: "mount FS", about: "mount a fresh ext4 with errors=continue",
		min: 1, max: 1, run: func(s *stage, st step) error { return s.mount(st.args[0]) }},
	"unmount": {usage: "unmount FS", about: "unmount it",
		min: 1, max: 1, run: onFS((*stage).unmount)},
	"group": {usage: "group G [max=N] [buffer=BYTES] [unlimited] [detailed] [merge-when-full] [count-losses]", about: "open a fanotify group; max is fs.fanotify.max_queued_events for it",
		min: 1, max: 1, options: []string{"max=", "buffer=", "unlimited", "detailed", "merge-when-full", "count-losses"}, run: (*stage).openGroup},
	"mark": {usage: "mark G FS", about: "have the group told of the errors of a filesystem",
		min: 2, max: 2, run: (*stage).mark},
	"opens": {usage: "opens G FS N", about: "open N files of FS, and have the group told of each",
		min: 3, max: 3, run: (*stage).opens},
	"queue": {usage: "queue Q [notes=N] [buffer=BYTES] [count-losses] [whole-chains]", about: "open a watch_queue of N notes, 512 by default; with 0, its size is never set",
		min: 1, max: 1, options: []string{"notes=", "buffer=", "count-losses", "whole-chains"}, run: (*stage).openQueue},
	"watch": {usage: "watch Q FS [deferred]", about: "have the queue told of the errors of a filesystem (needs the series)",
		min: 2, max: 2, options: []string{"deferred"}, run: (*stage).watch},
	"reserve": {usage: "reserve Q N", about: "keep N slots of the queue for errors (needs the series)",
		min: 2, max: 2, run: (*stage).reserve},
	"inject": {usage: "inject FS N [cpus=LIST] [threads=N] [context=C] [blob=BYTES] [pending] [&]", about: "make N errors and wait until fserror has handled them; or keep its worker from it, so that they are pending",
		min: 2, max: 2, options: []string{"cpus=", "threads=", "context=", "blob=", "pending"}, background: true, run: onFS((*stage).inject)},
	"keys": {usage: "keys Q N [&]", about: "update a key that the queue watches N times",
		min: 2, max: 2, background: true, run: (*stage).keys},
	"wait": {usage: "wait", about: "wait for the lines that end with &", run: (*stage).wait},
	"await": {usage: "await NAME", about: "wait until poll(2) says that there is something to read",
		min: 1, max: 1, run: onChannel((*stage).await)},
	"poll": {usage: "poll NAME", about: "print whether poll(2) says that there is something to read",
		min: 1, max: 1, run: onChannel((*stage).poll)},
	"read": {usage: "read NAME [once] [quietly]", about: "read all that is there, or as much as one read(2) returns, and print what it is about",
		min: 1, max: 1, options: []string{"once", "quietly"}, run: onChannel((*stage).readOut)},
	"records": {usage: "records NAME", about: "print whether the last read gave one record of errors or several",
		min: 1, max: 1, run: onChannel((*stage).records)},
	"tally": {usage: "tally NAME N", about: "print whether all that was read so far accounts for N errors or updates",
		min: 2, max: 2, run: onChannel((*stage).tally)},
	"close": {usage: "close NAME", about: "close a group or queue, and print whether something was unread",
		min: 1, max: 1, run: onChannel((*stage).close)},
}

// onFS gives a command the filesystem that its first argument names.
func onFS(f func(*stage, *filesystem, step) error) func(*stage, step) error {
	return func(s *stage, st step) error {
		fs := s.filesystems[st.args[0]]
		if fs == nil {
			return fmt.Errorf("no filesystem %s", st.args[0])
		}
		return f(s, fs, st)
	}
}

// onChannel gives a command the group or queue that its first argument names.
func onChannel(f func(*stage, *channel, step) error) func(*stage, step) error {
	return func(s *stage, st step) error {
		c := s.channels[st.args[0]]
		if c == nil {
			return fmt.Errorf("no group or queue %s", st.args[0])
		}
		return f(s, c, st)
	}
}

// number reads a number of a script; what an option lacks is 0.
func number(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}

func hasInjector() bool {
	_, err := os.Stat(flood.Dir)
	return err == nil
}

func (s *stage) needs(st step) error {
	cpus, err := number(st.options["cpus"])
	if err != nil {
		return err
	}
	if runtime.NumCPU() < cpus {
		return unsupported(fmt.Sprintf("it takes %d CPUs, here is %d", cpus, runtime.NumCPU()))
	}
	if v := st.options["linux"]; v != "" {
		var major, minor int
		if _, err := fmt.Sscanf(v, "%d.%d", &major, &minor); err != nil {
			return fmt.Errorf("%q is not a version: %w", v, err)
		}
		if !linux(major, minor) {
			return unsupported("it began with Linux " + v)
		}
	}
	if st.has("guest") && os.Getenv("WQFAN_GUEST") != "1" {
		return unsupported("it takes all memory of the machine, so it is only done to a guest")
	}
	if st.has("injector") && !hasInjector() {
		return flood.ErrNoInjector
	}
	return nil
}

// kunit looks up a test in what the kernel tells of a suite in KTAP.
func (s *stage) kunit(st step) error {
	suite, name := st.args[0], st.args[1]
	b, err := os.ReadFile(filepath.Join("/sys/kernel/debug/kunit", suite, "results"))
	if errors.Is(err, os.ErrNotExist) {
		return unsupported(fmt.Sprintf("only a KUnit test of the series shows it, and the kernel has none: --kernel-variant kunit does (%v)", err))
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		result, failed := strings.CutPrefix(line, "not ")
		if f := strings.Fields(result); len(f) >= 3 && f[0] == "ok" && f[2] == name {
			s.note("%s", line)
			outcome := "passes"
			if failed {
				outcome = "fails"
			}
			s.print("kunit", suite, "%s %s", name, outcome)
			return nil
		}
	}
	return unsupported(fmt.Sprintf("the kernel's suite %s has no test %s", suite, name))
}

func (s *stage) unmount(fs *filesystem, _ step) error { return fs.unmount() }

func (s *stage) openGroup(st step) error {
	buffer, err := number(st.options["buffer"])
	if err != nil {
		return err
	}
	var g *fan.Group
	open := func() (err error) {
		g, err = fan.Open(fan.Config{
			BufferSize: buffer, Unlimited: st.has("unlimited"), Detailed: st.has("detailed"),
			MergeWhenFull: st.has("merge-when-full"), OverflowCount: st.has("count-losses"),
		})
		return err
	}
	if limit, ok := st.options["max"]; ok {
		n, nerr := number(limit)
		if nerr != nil {
			return nerr
		}
		err = fanlimit.With(uint64(n), open)
	} else {
		err = open()
	}
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		return unsupported(err.Error())
	case err != nil:
		return err
	}
	return s.add(st.args[0], &channel{Source: g, Conn: g, group: g})
}

func (s *stage) groupAndFS(st step) (*fan.Group, *filesystem, error) {
	c, fs := s.channels[st.args[0]], s.filesystems[st.args[1]]
	if c == nil || c.group == nil {
		return nil, nil, fmt.Errorf("no group %s", st.args[0])
	}
	if fs == nil {
		return nil, nil, fmt.Errorf("no filesystem %s", st.args[1])
	}
	return c.group, fs, nil
}

func (s *stage) mark(st step) error {
	g, fs, err := s.groupAndFS(st)
	if err != nil {
		return err
	}
	return s.explainMark(g.Watch(fs.dir))
}

// explainMark tells a kernel that does not know FAN_FS_ERROR.
func (s *stage) explainMark(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return unsupported(err.Error())
	}
	return err
}

func (s *stage) opens(st step) error {
	g, fs, err := s.groupAndFS(st)
	if err != nil {
		return err
	}
	n, err := number(st.args[2])
	if err != nil {
		return err
	}
	dir := filepath.Join(fs.dir, fmt.Sprintf("opens%d", fs.files))
	fs.files++
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s.later(func() error {
		if !fs.mounted {
			return nil
		}
		return os.RemoveAll(dir)
	})
	names, err := flood.MakeFiles(dir, n)
	if err != nil {
		return err
	}
	if err := g.WatchOther(dir, unix.FAN_OPEN|unix.FAN_EVENT_ON_CHILD); err != nil {
		return err
	}
	if err := flood.Opens(names); err != nil {
		return err
	}
	s.note("sent: opens of %d files", n)
	s.held()
	return nil
}

// held notes what each channel holds now.
func (s *stage) held() {
	for _, name := range slices.Sorted(maps.Keys(s.channels)) {
		if c := s.channels[name]; !c.closed {
			s.note("%s holds %s", name, c.held())
		}
	}
}

func (s *stage) openQueue(st step) error {
	buffer, err := number(st.options["buffer"])
	if err != nil {
		return err
	}
	notes, err := number(st.options["notes"])
	if err != nil {
		return err
	}
	if st.options["notes"] == "0" {
		notes = wq.Unsized
	}
	q, err := wq.Open(wq.Config{Notes: notes, BufferSize: buffer, LossCount: st.has("count-losses"), ChainWhole: st.has("whole-chains")})
	if err != nil {
		return err
	}
	return s.add(st.args[0], &channel{Source: q, Conn: q, queue: q})
}

// The ids of the scripts' watches.
const (
	errorsID = 1
	keysID   = 2
)

func (s *stage) queueOf(st step) (*channel, error) {
	c := s.channels[st.args[0]]
	if c == nil || c.queue == nil {
		return nil, fmt.Errorf("no queue %s", st.args[0])
	}
	return c, nil
}

func (s *stage) watch(st step) error {
	c, err := s.queueOf(st)
	if err != nil {
		return err
	}
	fs := s.filesystems[st.args[1]]
	if fs == nil {
		return fmt.Errorf("no filesystem %s", st.args[1])
	}
	at := wq.Direct
	if st.has("deferred") {
		at = wq.Deferred
	}
	return c.queue.Watch(fs.dir, errorsID, at)
}

func (s *stage) reserve(st step) error {
	c, err := s.queueOf(st)
	if err != nil {
		return err
	}
	n, err := number(st.args[1])
	if err != nil {
		return err
	}
	return c.queue.SetReserve(wq.Reserve{Type: wq.TypeFSError, Slots: uint32(n)})
}

// inject makes errors of the filesystem as a whole, EFSCORRUPTED, with the
// series' injector or else with ext4's own trigger. The trigger runs in the
// caller's context: one that is urgent leaves no time to fserror's worker.
func (s *stage) inject(fs *filesystem, st step) error {
	n, err := number(st.args[1])
	if err != nil {
		return err
	}
	blob, err := number(st.options["blob"])
	if err != nil {
		return err
	}
	threads, err := number(st.options["threads"])
	if err != nil {
		return err
	}
	pending := st.has("pending")
	if pending || !hasInjector() {
		if blob > 0 || threads > 0 || st.options["context"] != "" {
			return flood.ErrNoInjector
		}
		return s.triggerAll(fs, n, st.options["cpus"], pending, st.background)
	}
	spec := flood.Spec{
		Count: uint64(n), Class: fserr.Metadata, Errno: fserr.EFSCORRUPTED,
		CPUs: st.options["cpus"], Context: st.options["context"], Blob: blob, Threads: threads,
	}
	if strings.Contains(spec.CPUs, "-") {
		spec.Threads = runtime.NumCPU()
	}
	root, err := os.Open(fs.dir)
	if err != nil {
		return err
	}
	fs.sent += spec.Count
	return s.background(st.background, func() error {
		defer root.Close()
		r, err := flood.Inject(s.ctx, spec, root)
		if blob > 0 && errors.Is(err, unix.EINVAL) {
			return unsupported("the kernel lacks the patch \"fserror: inject filesystem-specific records and from softirqs\"")
		}
		if err != nil {
			return err
		}
		if st.background {
			return nil
		}
		s.note("sent: %s, of which fserror refused %d", plural(int(r.Attempted), "error"), r.Refused)
		if r.Refused > 0 {
			s.print("inject", fs.name, "fserror refused some")
		}
		s.held()
		return nil
	})
}

// triggerAll makes n errors with ext4's trigger, from the CPUs that are given,
// "0" or "0-1", in equal parts.
func (s *stage) triggerAll(fs *filesystem, n int, cpus string, pending, aside bool) error {
	on := []int{0}
	if first, last, several := strings.Cut(cpus, "-"); cpus != "" {
		from, err := number(first)
		if err != nil {
			return err
		}
		to := from
		if several {
			if to, err = number(last); err != nil {
				return err
			}
		}
		for on = on[:0]; from <= to; from++ {
			on = append(on, from)
		}
	}
	fs.sent += uint64(n)
	return s.background(aside, func() error {
		done := make(chan error, len(on))
		for i, cpu := range on {
			part := n*(i+1)/len(on) - n*i/len(on)
			go func() { done <- trigger(fs, part, cpu, pending) }()
		}
		var errs []error
		for range on {
			errs = append(errs, <-done)
		}
		if err := errors.Join(errs...); err != nil || aside {
			return err
		}
		s.note("sent: %s, by ext4's trigger_fs_error", plural(n, "error"))
		if pending {
			return nil
		}
		if err := s.settle(fs); err != nil {
			return err
		}
		s.held()
		return nil
	})
}

// keys updates a key of the queue's own. The first call makes it, in the keyring
// of this process, with which it goes.
func (s *stage) keys(st step) error {
	c, err := s.queueOf(st)
	if err != nil {
		return err
	}
	n, err := number(st.args[1])
	if err != nil {
		return err
	}
	if c.key == 0 {
		if err := s.addKey(c, st.args[0]); err != nil {
			return err
		}
	}
	return s.background(st.background, func() error {
		for i := range n {
			if err := s.ctx.Err(); err != nil {
				return err
			}
			if _, err := unix.KeyctlBuffer(unix.KEYCTL_UPDATE, c.key, []byte("wqfan"), 5); err != nil {
				return fmt.Errorf("update %d of key %d: %w", i+1, c.key, os.NewSyscallError("keyctl", err))
			}
		}
		if st.background {
			return nil
		}
		s.note("sent: %s of key %08x", plural(n, "update"), c.key)
		s.held()
		return nil
	})
}

func (s *stage) addKey(c *channel, name string) error {
	key, err := unix.AddKey("user", fmt.Sprintf("wqfan-repro-%s-%d", name, time.Now().UnixNano()), []byte("0"), unix.KEY_SPEC_PROCESS_KEYRING)
	if err == unix.ENOSYS {
		return unsupported("add_key: the kernel is built without CONFIG_KEYS")
	}
	if err != nil {
		return os.NewSyscallError("add_key", err)
	}
	c.key = key
	s.later(func() error {
		_, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, key, unix.KEY_SPEC_PROCESS_KEYRING, 0, 0)
		return os.NewSyscallError("keyctl unlink", err)
	})
	// A background flood runs on a thread that does not have this keyring: let
	// its user do all.
	const possessorAndUser = 0x3f3f0000 // KEY_POS_ALL | KEY_USR_ALL, linux/key.h
	if err := unix.KeyctlSetperm(key, possessorAndUser); err != nil {
		return os.NewSyscallError("keyctl setperm", err)
	}
	return c.queue.WatchKey(key, keysID)
}

func (s *stage) wait(step) error {
	var errs []error
	for _, job := range s.jobs {
		errs = append(errs, <-job)
	}
	s.jobs = nil
	s.held()
	return errors.Join(errs...)
}

// readable asks poll(2).
func (c *channel) readable() (bool, error) {
	fds := []unix.PollFd{{Events: unix.POLLIN}}
	err := c.control(func(fd int) error {
		fds[0].Fd = int32(fd)
		_, err := unix.Poll(fds, 0)
		return err
	})
	return fds[0].Revents&unix.POLLIN != 0, err
}

func (s *stage) poll(c *channel, st step) error {
	yes, err := c.readable()
	if err != nil {
		return err
	}
	s.print("poll", st.args[0], "%s to read", something(yes))
	return nil
}

func something(yes bool) string {
	if yes {
		return "something"
	}
	return "nothing"
}

func (s *stage) await(c *channel, _ step) error {
	for {
		if yes, err := c.readable(); yes || err != nil {
			return err
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *stage) close(c *channel, st step) error {
	unread, err := c.readable()
	if err != nil {
		return err
	}
	s.note("%s holds %s", st.args[0], c.held())
	s.print("close", st.args[0], "%s was unread", something(unread))
	return c.close()
}

func (s *stage) readOut(c *channel, st step) error {
	events, err := s.read(c, st.has("once"))
	c.records = 0
	for i, e := range events {
		if e.Kind == fserr.Error {
			c.records++
		}
		if shown := 3; i < shown || i == len(events)-1 {
			s.note("read: %s", inWords(e))
		} else if i == shown {
			s.note("read: … %d more …", len(events)-shown-1)
		}
	}
	if st.has("quietly") {
		return err
	}
	for _, line := range s.describe(events) {
		s.print("read", st.args[0], "%s", line)
	}
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOBUFS):
		s.print("read", st.args[0], "the buffer is too small")
		s.note("read: %v", err)
		return nil
	case err == nil && len(events) == 0:
		s.print("read", st.args[0], "nothing")
	}
	return err
}

// inWords is an event for a reader of the timeline.
func inWords(e fserr.Event) string {
	switch {
	case e.Kind != fserr.Other:
		return e.String()
	case e.Is(fserr.HasWatch):
		if k, err := wq.DecodeKey(e.Record.Bytes); err == nil {
			return fmt.Sprintf("key %08x %v", uint32(k.ID), k.Change)
		}
	case e.Is(fserr.HasInode):
		return fmt.Sprintf("open of inode %d, pid %d", e.Ino, e.PID)
	}
	return e.String()
}

func (s *stage) records(c *channel, st step) error {
	answer := "one"
	if n := c.records; n > 1 {
		answer = "several"
	} else if n == 0 {
		answer = "none"
	}
	s.print("records", st.args[0], "%s", answer)
	return nil
}

// describe says what events are about, in words that do not depend on times,
// numbers of processes or how many workers there were: errors of a filesystem
// that follow each other are one line.
func (s *stage) describe(events []fserr.Event) []string {
	var all []string
	for len(events) > 0 {
		n := 1
		for n < len(events) && alike(&events[0], &events[n]) {
			n++
		}
		all = append(all, s.summary(events[:n]))
		events = events[n:]
	}
	return all
}

// alike says that two events are told in one line.
func alike(a, b *fserr.Event) bool {
	return a.Kind == b.Kind && a.Kind != fserr.Lost && a.FSID == b.FSID && a.Is(fserr.HasBroken) == b.Is(fserr.HasBroken) && a.Is(fserr.HasWatch) == b.Is(fserr.HasWatch)
}

// summary is the line of events that are alike.
func (s *stage) summary(events []fserr.Event) string {
	e, n := &events[0], len(events)
	switch e.Kind {
	case fserr.Lost:
		if !e.Is(fserr.HasCount) {
			return "lost: not counted"
		}
		return fmt.Sprintf("lost: %d", e.Count)
	case fserr.Fragment:
		return "parts of " + plural(n, "record") + " without the error"
	case fserr.Removed:
		return "the watch is gone"
	case fserr.Other:
		what := "open"
		if e.Is(fserr.HasWatch) {
			what = "key update"
		}
		return plural(n, what)
	}
	sum, tasks := 0, map[int32]bool{}
	for i := range events {
		sum += int(events[i].Errors())
		tasks[events[i].PID] = true
	}
	text := s.nameOf(e.FSID) + ": " + plural(sum, "error")
	switch {
	case e.Is(fserr.HasBroken):
		return text + ", of whose record parts are missing"
	case e.Is(fserr.HasRecord):
		return text + " with all of the filesystem's own record"
	case sum == n:
		return text
	case len(tasks) == n:
		return text + ", one record per reporting task"
	}
	return fmt.Sprintf("%s in %s", text, plural(n, "record"))
}

func (s *stage) nameOf(id fserr.FSID) string {
	for name, fs := range s.filesystems {
		if fs.id == id {
			return name
		}
	}
	return "an unknown filesystem"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (s *stage) tally(c *channel, st step) error {
	sent, err := number(st.args[1])
	if err != nil {
		return err
	}
	s.note("read so far: %d of %d; loss records: %d, which count %d", c.told, sent, c.losses, c.lost)
	answer := "fewer, and that something was lost"
	switch told := int(c.told); {
	case told == sent:
		answer = "all of them"
	case told > sent:
		answer = "more than were made"
	case told+int(c.lost) == sent:
		answer = "fewer, and how many were lost"
	case c.losses == 0:
		answer = "fewer, and of no loss"
	}
	s.print("tally", st.args[0], "told of %s", answer)
	return nil
}
