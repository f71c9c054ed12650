// SPDX-License-Identifier: MIT

package kmsg_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fserr"
	"wqfan/internal/inguest"
	"wqfan/internal/need"
	"wqfan/kmsg"
)

func TestStock(t *testing.T) { inguest.Stock(t, "^TestKernel") }

func open(t *testing.T) *kmsg.Log {
	t.Helper()
	l, err := kmsg.Open(kmsg.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// drain reads what is there now. The bytes of records are copied.
func drain(t *testing.T, l *kmsg.Log) []fserr.Event {
	t.Helper()
	l.SetReadDeadline(time.Unix(1, 0))
	var all []fserr.Event
	events := make([]fserr.Event, 4)
	for {
		n, err := l.Read(t.Context(), events)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events[:n] {
			e.Record.Bytes = slices.Clone(e.Record.Bytes)
			all = append(all, e)
		}
	}
}

// set writes a setting and puts the old value back when the test ends.
func set(t *testing.T, name, value string) {
	t.Helper()
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(name, old, 0) })
}

// An error of ext4 is a line with the device; what its rate limit keeps out is
// told with the next line that it lets in.
func TestKernelExt4(t *testing.T) {
	need.Guest(t)
	device := filepath.Base(inguest.Device(t, os.Getenv(inguest.EXT4Env)))
	set(t, "/sys/fs/ext4/"+device+"/err_ratelimit_interval_ms", "200")
	set(t, "/sys/fs/ext4/"+device+"/err_ratelimit_burst", "3")
	l := open(t)
	var made, told, suppressed uint64
	for deadline := time.Now().Add(30 * time.Second); suppressed == 0; {
		if err := flood.TriggerExt4(device, 10, nil); err != nil {
			t.Fatal(err)
		}
		made += 10
		for _, e := range drain(t, l) {
			line, _, err := kmsg.Parse([]byte("2,0,0,-;" + string(e.Record.Bytes) + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			switch e.Kind {
			case fserr.Error:
				if f, ok := line.Fault(); !ok || string(f.Device) != device || e.Magic != fserr.EXT4Magic || e.Record.Type != 2 {
					t.Errorf("%s: %v, %s", e.Record.Bytes, e, f.Device)
				}
				told++
			case fserr.Lost:
				// Nothing was told since those that are counted here.
				if suppressed = e.Count; told+suppressed > made {
					t.Errorf("%d told, %d suppressed, %d made", told, suppressed, made)
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("ext4 does not say what it suppressed")
		}
	}
	if told == 0 || told+suppressed > made || made-told-suppressed > 10 {
		t.Errorf("%d errors: %d told, %d suppressed; want all, but for those after the last line", made, told, suppressed)
	}
}

// Lines that are overwritten before they are read are counted exactly.
func TestKernelGap(t *testing.T) {
	need.Guest(t)
	set(t, "/proc/sys/kernel/printk_devkmsg", "on\n")
	l := open(t)
	w, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	const n = 5000
	for i := range n {
		// Debugging: not for the console, which is slow.
		if _, err := fmt.Fprintf(w, "<7>line %04d of many that nobody reads in time, and which are long enough to fill the log\n", i); err != nil {
			t.Fatal(err)
		}
	}
	events := drain(t, l)
	if e := events[0]; e.Kind != fserr.Lost || !e.Is(fserr.HasCount) || e.Is(fserr.HasRecord) {
		t.Fatalf("the first event is %v, want a loss", e)
	}
	if all := events[0].Count + uint64(len(events)-1); all != n {
		t.Errorf("%d lost and %d read are %d, want %d", events[0].Count, len(events)-1, all, n)
	}
	for i, e := range events[1:] {
		var at uint64
		if _, err := fmt.Sscanf(string(e.Record.Bytes), "line %d", &at); err != nil || at != events[0].Count+uint64(i) {
			t.Fatalf("event %d is %s, want line %d: %v", i, e.Record.Bytes, events[0].Count+uint64(i), err)
		}
	}
}

// A reader that waits is woken by a line, and ended by its context and by Close.
func TestKernelWait(t *testing.T) {
	need.Guest(t)
	l := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if n, err := l.Read(ctx, make([]fserr.Event, 1)); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error)
	go func() {
		for {
			events := make([]fserr.Event, 1)
			if _, err := l.Read(ctx, events); err != nil || string(events[0].Record.Bytes) == "hello" {
				done <- err
				return
			}
		}
	}()
	if err := os.WriteFile("/dev/kmsg", []byte("<7>hello\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	go func() {
		_, err := l.Read(t.Context(), make([]fserr.Event, 1))
		done <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != os.ErrClosed {
		t.Errorf("read while closing: %v", err)
	}
}

func TestKernelUnprivileged(t *testing.T) {
	need.Guest(t)
	set(t, "/proc/sys/kernel/dmesg_restrict", "1")
	inguest.Unprivileged(t, func() {
		if _, err := kmsg.Open(kmsg.Config{}); !errors.Is(err, unix.EPERM) {
			t.Errorf("without CAP_SYSLOG: %v, want %v", err, unix.EPERM)
		}
	})
}
