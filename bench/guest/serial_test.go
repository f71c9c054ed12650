// SPDX-License-Identifier: MIT

package guest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSerialAlarm(t *testing.T) {
	for _, tt := range []struct {
		line, alarm string
		warning     bool
	}{
		{line: "[    0.000000] Linux version 7.3.4"},
		{line: "[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs", alarm: "Kernel panic - not syncing: VFS: Unable to mount root fs"},
		{line: "Kernel panic - not syncing: early", alarm: "Kernel panic - not syncing: early"},
		{line: "[   12.345678][    C1] BUG: unable to handle page fault for address: 0000", alarm: "BUG: unable to handle page fault for address: 0000"},
		{line: "[   12.345678] [  T123] Oops: Oops: 0002 [#1] SMP", alarm: "Oops: Oops: 0002 [#1] SMP"},
		{line: "[   12.345678] kernel BUG at fs/notify/mark.c:1!", alarm: "kernel BUG at fs/notify/mark.c:1!"},
		{line: "[   12.345678] BUG: KASAN: slab-use-after-free in fserror_report", alarm: "BUG: KASAN: slab-use-after-free in fserror_report"},
		{line: "[   12.345678] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!", alarm: "watchdog: BUG: soft lockup - CPU#0 stuck for 22s!"},
		{line: "[   12.345678] WARNING: CPU: 0 PID: 1 at fs/fserror.c:1 fserror_report", warning: true},
		{line: "[   12.345678] WARNING: fs/fserror.c:1 at fserror_report+0x1/0x2, CPU#0: kworker/0:1/9", warning: true},
		{line: "[   12.345678] INFO: task fan.test:77 blocked for more than 120 seconds.", warning: true},
		{line: "[   12.345678] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", warning: true},
		{line: "goroutine 1 [sysc[    3.210987] Kernel panic - not syncing: Attempted to kill init!", alarm: "Kernel panic - not syncing: Attempted to kill init!"},
		{line: "main.main()[    3.210987][    T1] Kernel panic - not syncing: x", alarm: "Kernel panic - not syncing: x"},
		// What only looks like it.
		{line: "[    1.234567] EXT4-fs error [x]: BUG: not"},
		{line: "[    1.234567] EXT4-fs error (device vda): ext4_lookup:1785: inode #2: comm x: BUG: not"},
		{line: "a test prints Kernel panic - not syncing"},
		{line: "[    0.000000] Command line: oops=panic panic=-1"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			var log strings.Builder
			s := newSerialLog(&log, 1<<20)
			in := "before\r\n" + tt.line + "\r\nafter\r\n"
			for i := range in { // byte for byte
				if _, err := s.Write([]byte(in[i : i+1])); err != nil {
					t.Fatal(err)
				}
			}
			if s.alarm != tt.alarm {
				t.Errorf("alarm %q, want %q", s.alarm, tt.alarm)
			}
			if got := len(s.warnings) == 1; got != tt.warning {
				t.Errorf("warnings %q", s.warnings)
			}
			if tt.alarm != "" {
				if diff := cmp.Diff([]string{"before", tt.line, "after"}, s.ctx); diff != "" {
					t.Error(diff)
				}
			}
			if log.String() != in {
				t.Errorf("log %q", log.String())
			}
		})
	}
}

func TestSerialContext(t *testing.T) {
	s := newSerialLog(new(strings.Builder), 1<<20)
	for i := range 100 {
		if i == 50 || i == 55 {
			fmt.Fprintln(s, "Kernel panic - not syncing:", i)
		}
		fmt.Fprintln(s, "line", i)
	}
	fmt.Fprint(s, "no newline")
	s.flush()
	if s.alarm != "Kernel panic - not syncing: 50" {
		t.Errorf("alarm %q: want the first", s.alarm)
	}
	if len(s.ctx) != linesBefore+linesAfter || s.ctx[linesBefore-1] != s.alarm || s.ctx[0] != "line 41" {
		t.Errorf("%d lines of context: %q", len(s.ctx), s.ctx)
	}
	if last := s.tail[len(s.tail)-1]; len(s.tail) != linesBefore || last != "no newline" {
		t.Errorf("tail %q", s.tail)
	}
}

func TestSerialFlood(t *testing.T) {
	var log strings.Builder
	s := newSerialLog(&log, 10)
	if _, err := s.Write([]byte("12345678")); err != nil {
		t.Fatal(err)
	}
	n, err := s.Write([]byte("90ab"))
	if n != 2 || !errors.Is(err, errFlooded) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if got, want := log.String(), "1234567890\n[wqfan: more than 10 bytes of console output: guest killed]\n"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	if len(s.line) > maxSerialLine {
		t.Error("the line grows without end")
	}
}
