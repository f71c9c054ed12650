// SPDX-License-Identifier: MIT

package wq_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/inguest"
	"wqfan/internal/need"
	"wqfan/wq"
)

// The tests named TestKernel run on any kernel with CONFIG_WATCH_QUEUE and
// CONFIG_KEY_NOTIFICATIONS, the series or not.

func open(t *testing.T, cfg wq.Config) *wq.Queue {
	t.Helper()
	q, err := wq.Open(cfg)
	if errors.Is(err, errors.ErrUnsupported) && !need.InGuest() {
		t.Skipf("the guest has what this kernel lacks: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// drain reads what is queued at this moment. The bytes of records are copied.
func drain(t *testing.T, q *wq.Queue) []fserr.Event {
	t.Helper()
	return readUntil(t, q, time.Unix(1, 0))
}

// settle reads what comes until chains that lost their end have been given up.
func settle(t *testing.T, q *wq.Queue) []fserr.Event {
	t.Helper()
	return readUntil(t, q, time.Now().Add(100*time.Millisecond))
}

func readUntil(t *testing.T, q *wq.Queue, deadline time.Time) []fserr.Event {
	t.Helper()
	if err := q.SetReadDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	var all []fserr.Event
	events := make([]fserr.Event, 16)
	for {
		n, err := q.Read(t.Context(), events)
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

// addKey adds a key to the user's keyring, and takes it away after the test.
func addKey(t *testing.T, name string) int {
	t.Helper()
	key, err := unix.AddKey("user", "wqfan:"+name, []byte("x"), unix.KEY_SPEC_USER_KEYRING)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.KeyctlInt(unix.KEYCTL_UNLINK, key, unix.KEY_SPEC_USER_KEYRING, 0, 0) })
	return key
}

func updateKey(t *testing.T, key int) {
	t.Helper()
	if _, err := unix.KeyctlBuffer(unix.KEYCTL_UPDATE, key, []byte("y"), 1); err != nil {
		t.Fatal(err)
	}
}

func watchKey(t *testing.T, q *wq.Queue, key int, id uint8) {
	t.Helper()
	if err := q.WatchKey(key, id); err != nil {
		t.Fatal(err)
	}
}

// key expects an event of a key.
func key(t *testing.T, e fserr.Event) wq.Key {
	t.Helper()
	if e.Kind != fserr.Other || e.Record.Type != wq.TypeKey {
		t.Fatalf("got %v, want a key", e)
	}
	k, err := wq.DecodeKey(e.Record.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOpen(t *testing.T) {
	q, err := wq.Open(wq.Config{})
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) || strings.Contains(err.Error(), "\n") ||
			!strings.Contains(err.Error(), "built with CONFIG_WATCH_QUEUE") {
			t.Errorf("a kernel without watch queues: %v", err)
		}
		return
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if err := q.Close(); err != os.ErrClosed {
		t.Errorf("closed twice: %v", err)
	}
}

func TestKernelKeys(t *testing.T) {
	q := open(t, wq.Config{})
	k := addKey(t, "keys")
	watchKey(t, q, k, 3)
	watchKey(t, q, unix.KEY_SPEC_USER_KEYRING, 4)
	if err := q.WatchKey(k, 5); !errors.Is(err, unix.EBUSY) {
		t.Errorf("watched twice: %v", err)
	}
	updateKey(t, k)
	other := addKey(t, "other")
	if err := q.UnwatchKey(k); err != nil {
		t.Fatal(err)
	}
	updateKey(t, k)
	if err := q.UnwatchKey(k); !errors.Is(err, unix.EBADSLT) {
		t.Errorf("not watched: %v", err)
	}

	events := drain(t, q)
	if len(events) != 3 {
		t.Fatalf("got %v, want three events", events)
	}
	if got, want := key(t, events[0]), (wq.Key{Change: wq.KeyUpdated, ID: int32(k)}); got != want || events[0].Watch != 3 {
		t.Errorf("got %+v of watch %d, want %+v of watch 3", got, events[0].Watch, want)
	}
	if got := key(t, events[1]); got.Change != wq.KeyLinked || got.Aux != uint32(other) || events[1].Watch != 4 {
		t.Errorf("got %+v of watch %d, want the link of %d", got, events[1].Watch, other)
	}
	if e := events[2]; e.Kind != fserr.Removed || e.Watch != 3 {
		t.Errorf("got %v, want the removal of watch 3", e)
	}
	if id, ok := wq.RemovalID(events[2].Record.Bytes); !ok || id != uint64(k) {
		t.Errorf("removed is %d, %v, want %d", id, ok, k)
	}
}

// A ring of 32 notes keeps exactly 32 of 100 and then has one loss without a
// count, which mainline's poll(2) does not announce.
func TestKernelOverflow(t *testing.T) {
	q := open(t, wq.Config{Notes: 1}) // rounded up to a page
	k := addKey(t, "overflow")
	watchKey(t, q, k, 1)
	for range 100 {
		updateKey(t, k)
	}
	overflowed(t, q, 32)
	updateKey(t, k)
	if events := drain(t, q); len(events) != 1 || key(t, events[0]).Change != wq.KeyUpdated {
		t.Errorf("got %v, want the queue to work again", events)
	}
}

// honest reports whether the kernel has the patch "watch_queue: don't hide or
// forget a loss".
func honest() bool { return os.Getenv(inguest.VariantEnv) == "patched" }

// overflowed expects n records and one loss without a count. The series gives
// them in one read; mainline needs another, which poll(2) does not announce. It
// returns the records.
func overflowed(t *testing.T, q *wq.Queue, n int) []fserr.Event {
	t.Helper()
	events := make([]fserr.Event, n+1)
	got, err := q.Read(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	all := events[:got]
	if !honest() {
		if got != n {
			t.Fatalf("read %d events, want %d", got, n)
		}
		if readable(t, q) {
			t.Error("poll(2) announces the loss: this is not mainline")
		}
		all = append(all, drain(t, q)...)
	}
	if len(all) != n+1 || all[n].Kind != fserr.Lost || all[n].Is(fserr.HasCount) {
		t.Fatalf("got %d events, the last %v; want %d and a loss without a count", len(all), all[len(all)-1], n)
	}
	return all[:n]
}

func readable(t *testing.T, q *wq.Queue) bool {
	t.Helper()
	var ready bool
	if err := q.Control(func(fd int) error {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		ready = n > 0
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return ready
}

// A queue without notes loses everything, and mainline signals nothing.
func TestKernelUnsized(t *testing.T) {
	q := open(t, wq.Config{Notes: wq.Unsized})
	k := addKey(t, "unsized")
	watchKey(t, q, k, 1)
	updateKey(t, k)
	unsized(t, q)
}

// unsized expects that a queue without notes says what it can.
func unsized(t *testing.T, q *wq.Queue) {
	t.Helper()
	switch events := drain(t, q); {
	case !honest() && len(events) > 0:
		t.Errorf("got %v, want nothing", events)
	case honest() && (len(events) != 1 || events[0].Kind != fserr.Lost):
		t.Errorf("got %v, want a loss", events)
	}
}

func TestKernelFilter(t *testing.T) {
	q := open(t, wq.Config{})
	k := addKey(t, "filter")
	watchKey(t, q, k, 1)
	invalidate := uint8(wq.KeyInvalidated)
	for _, test := range []struct {
		name    string
		filters []wq.Filter
		want    int
	}{
		{"all keys", []wq.Filter{{Type: wq.TypeKey}}, 1},
		{"another subtype", []wq.Filter{{Type: wq.TypeKey, Subtypes: []uint8{invalidate}}}, 0},
		{"one of two", []wq.Filter{{Type: wq.TypeKey, Subtypes: []uint8{invalidate}}, {Type: wq.TypeKey, Subtypes: []uint8{uint8(wq.KeyUpdated)}}}, 1},
		{"this watch", []wq.Filter{{Type: wq.TypeKey, Info: 1 << 8, Mask: 0xff00}}, 1},
		{"another watch", []wq.Filter{{Type: wq.TypeKey, Info: 2 << 8, Mask: 0xff00}}, 0},
		{"an unknown type", []wq.Filter{{Type: 0xffffff}}, 0},
		{"none", nil, 1},
	} {
		if err := q.SetFilter(test.filters); err != nil {
			t.Fatal(err)
		}
		updateKey(t, k)
		if events := drain(t, q); len(events) != test.want {
			t.Errorf("%s: got %v, want %d", test.name, events, test.want)
		}
	}
}

func TestKernelRefusals(t *testing.T) {
	q := open(t, wq.Config{BufferSize: 12})
	k := addKey(t, "refusals")
	watchKey(t, q, k, 1)
	updateKey(t, k)
	if _, err := q.Read(t.Context(), make([]fserr.Event, 1)); !errors.Is(err, unix.ENOBUFS) ||
		!strings.Contains(err.Error(), "does not fit the read buffer of 12 bytes, raise Config.BufferSize") {
		t.Errorf("a small buffer: %v", err)
	}
	bound := wq.MaxNotes
	if honest() {
		bound = 1 << 16
	}
	for _, notes := range []int{-2, bound + 1} {
		if _, err := wq.Open(wq.Config{Notes: notes}); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "mainline takes 1 to 512") {
			t.Errorf("%d notes: %v", notes, err)
		}
	}
	if _, err := wq.Open(wq.Config{BufferSize: -1}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a negative buffer: %v", err)
	}
	if err := q.WatchKey(1<<30, 1); !errors.Is(err, unix.ENOKEY) || !strings.Contains(err.Error(), "no such key") {
		t.Errorf("a key that does not exist: %v", err)
	}
	if err := q.Watch("/nonexistent", 1, wq.Direct); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a path that does not exist: %v", err)
	}
	if err := q.Watch("/", 1, 7); !errors.Is(err, unix.EINVAL) || err.Error() != "watch /: point 7: invalid argument" {
		t.Errorf("a posting point that does not exist: %v", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Watch("/", 1, wq.Direct); err != os.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}

// On a kernel without the series, one line says which patch is missing.
func TestKernelWithoutSeries(t *testing.T) {
	q := open(t, wq.Config{})
	if v := os.Getenv(inguest.VariantEnv); v == "patched" || v == "base" {
		t.Skip("this kernel has patches of the series")
	}
	dir := t.TempDir()
	for _, at := range []wq.Point{wq.Direct, wq.Deferred} {
		err := q.Watch(dir, 1, at)
		want := fmt.Sprintf(`watch errors of %s: unsupported operation: inappropriate ioctl for device (the kernel lacks the patch "fserror: notify pipes of filesystem errors")`, dir)
		if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, unix.ENOTTY) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if _, err := q.Stats(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("counters: %v", err)
	}
	for patch, ask := range map[string]func() error{
		"watch_queue: tell how much has been lost, and by whom, at once": func() error {
			_, err := wq.Open(wq.Config{LossCount: true})
			return err
		},
		"watch_queue: post notifications that are longer than a note": func() error {
			_, err := wq.Open(wq.Config{LossCount: true, ChainWhole: true})
			return err
		},
		"watch_queue: filter filesystem errors by what they are about": func() error { return q.SetFSFilter([]wq.FSRule{{Errno: 5}}) },
		"watch_queue: let slots be reserved for some notifications":    func() error { return q.SetReserve(wq.Reserve{Type: wq.TypeKey, Slots: 1}) },
	} {
		if err := ask(); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), fmt.Sprintf("(the kernel lacks the patch %q)", patch)) {
			t.Errorf("%q: %v", patch, err)
		}
	}
}
