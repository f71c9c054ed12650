// SPDX-License-Identifier: MIT

package wq_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fserr"
	"wqfan/internal/inguest"
	"wqfan/wq"
)

// The tests named TestGuest need the series: its injector makes their errors.

func TestPatched(t *testing.T) { inguest.Patched(t, "^Test(Kernel|Guest)") }

func TestBase(t *testing.T) { inguest.Base(t, "^Test(Kernel|Guest)") }

func TestStock(t *testing.T) { inguest.Stock(t, "^TestKernel") }

func TestBesideC(t *testing.T) { inguest.BesideC(t, "wq") }

// eachPoint runs f on each filesystem and posting point, with n open files.
func eachPoint(t *testing.T, n int, f func(t *testing.T, at wq.Point, dir string, files []*os.File)) {
	t.Helper()
	inguest.EachFS(t, n, func(t *testing.T, dir string, files []*os.File) {
		for _, at := range []wq.Point{wq.Direct, wq.Deferred} {
			t.Run(at.String(), func(t *testing.T) { f(t, at, dir, files) })
		}
	})
}

func watch(t *testing.T, q *wq.Queue, path string, id uint8, at wq.Point) {
	t.Helper()
	if err := q.Watch(path, id, at); err != nil {
		t.Fatal(err)
	}
}

// A record says what was injected, all of it.
func TestGuestFields(t *testing.T) {
	eachPoint(t, 3, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		q := open(t, wq.Config{})
		watch(t, q, dir, 7, at)
		const n = 100
		inguest.Inject(t, flood.Spec{Count: n, PerInode: true, Class: fserr.DirectIOWrite, Errno: 5, Log: true}, files...)
		log, err := flood.Log()
		if err != nil {
			t.Fatal(err)
		}
		events := drain(t, q)
		if len(events) != n || len(log) != n {
			t.Fatalf("%d events, %d entries in the log, want %d", len(events), len(log), n)
		}
		if at == wq.Deferred { // workers may overtake each other
			slices.SortFunc(events, func(a, b fserr.Event) int { return cmp.Compare(a.Seq, b.Seq) })
		}
		first := events[0].Seq
		for i, e := range events {
			file := files[i%len(files)]
			want := fserr.Event{
				Kind: fserr.Error,
				Has: fserr.HasWatch | fserr.HasClass | fserr.HasErrno | fserr.HasFSID | fserr.HasInode | fserr.HasRange |
					fserr.HasSeq | fserr.HasTime | e.Has&fserr.HasMagic,
				Watch: 7, Magic: e.Magic, Class: fserr.DirectIOWrite, Errno: 5, FSID: inguest.FSID(t, dir),
				Ino: inguest.Stat(t, file.Name()).Ino, Gen: inguest.Generation(t, file),
				Pos: int64(i), Len: uint64(log[i].Intended), Seq: first + uint64(i),
				Time: e.Time, Recv: e.Recv,
			}
			if diff := gocmp.Diff(want, e); diff != "" {
				t.Fatalf("error %d:\n%s", i, diff)
			}
			if e.Time < log[i].Called || e.Time > log[i].Returned || e.Recv < e.Time {
				t.Fatalf("error %d: called %d, stamped %d, returned %d, received %d", i, log[i].Called, e.Time, log[i].Returned, e.Recv)
			}
		}
	})
}

// An error of the filesystem as a whole has no inode; every class arrives.
func TestGuestClasses(t *testing.T) {
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		q := open(t, wq.Config{})
		watch(t, q, dir, 0, at)
		for class := fserr.BufferedRead; class <= fserr.Metadata; class++ {
			inguest.Inject(t, flood.Spec{Count: 1, Class: class, Errno: fserr.EFSCORRUPTED}, files...)
			events := drain(t, q)
			if len(events) != 1 {
				t.Fatalf("%v: got %v, want one event", class, events)
			}
			if e := events[0]; e.Class != class || e.Errno != fserr.EFSCORRUPTED || e.Is(fserr.HasInode) || !e.Is(fserr.HasWatch) {
				t.Errorf("%v: got %v", class, e)
			}
		}
	})
}

// A full ring keeps exactly what it holds, the first ones, and has one loss
// without a count. The counters close the account.
func TestGuestOverflow(t *testing.T) {
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		for _, test := range []struct{ ask, holds int }{{1, 32}, {33, 64}, {0, wq.MaxNotes}} {
			q := open(t, wq.Config{Notes: test.ask})
			watch(t, q, dir, 9, at)
			n := uint64(2*test.holds + 1)
			inguest.Inject(t, flood.Spec{Count: n, Errno: 5}, files...)
			s, err := q.Stats()
			kept, lost := uint64(test.holds), n-uint64(test.holds)
			high := uint64(0)
			if honest() {
				high = kept
			}
			want := wq.Stats{Notes: kept, Depth: kept, High: high, Posted: kept, Lost: lost,
				Watches: []wq.WatchStats{{ID: 9, Posted: kept, Lost: lost}}}
			if diff := gocmp.Diff(want, s); err != nil || diff != "" {
				t.Errorf("counters of %d notes: %v\n%s", test.ask, err, diff)
			}
			events := overflowed(t, q, test.holds)
			if at == wq.Direct {
				for i, e := range events {
					if e.Pos != int64(i) {
						t.Fatalf("note %d of %d: got %v", i, test.ask, e)
					}
				}
			}
			if s, err := q.Stats(); err != nil || s.Depth != 0 || s.Posted != kept || s.Lost != lost {
				t.Errorf("counters after reading: %+v, %v", s, err)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Anyone who may write a file can have the filesystem report as many errors as
// they like: iomap reports that they gave it a bad address.
func TestGuestBadAddress(t *testing.T) {
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		q := open(t, wq.Config{})
		watch(t, q, dir, 1, at)
		const n = 100
		inguest.BadWrite(t, files[0].Name(), n)
		if err := q.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		events := make([]fserr.Event, n)
		for got := 0; got < n; {
			k, err := q.Read(t.Context(), events)
			if err != nil {
				t.Fatalf("after %d of %d errors: %v", got, n, err)
			}
			for _, e := range events[:k] {
				if e.Kind != fserr.Error || e.Class != fserr.DirectIOWrite || e.Errno != fserr.Errno(unix.EFAULT) {
					t.Fatalf("%v", e)
				}
			}
			got += k
		}
	})
}

// A queue without notes loses everything, and the kernel counts it.
func TestGuestUnsized(t *testing.T) {
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		q := open(t, wq.Config{Notes: wq.Unsized})
		watch(t, q, dir, 1, at)
		inguest.Inject(t, flood.Spec{Count: 10, Errno: 5}, files...)
		unsized(t, q)
		if s, err := q.Stats(); err != nil || s.Posted != 0 || s.Lost != 10 {
			t.Errorf("counters %+v, %v, want 10 lost", s, err)
		}
	})
}

// Two queues are told of every error each, and one can be slow.
func TestGuestTwoQueues(t *testing.T) {
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		small, large := open(t, wq.Config{Notes: 32}), open(t, wq.Config{})
		watch(t, small, dir, 1, at)
		watch(t, large, dir, 1, at)
		inguest.Inject(t, flood.Spec{Count: 100, Errno: 5}, files...)
		overflowed(t, small, 32)
		if events := drain(t, large); len(events) != 100 {
			t.Errorf("the large queue has %d events, want 100", len(events))
		}
	})
}

// dev returns a device number as the kernel encodes it in a removal record
// (new_encode_dev, linux/kdev_t.h).
func dev(t *testing.T, dir string) uint64 {
	d := inguest.Stat(t, dir).Dev
	major, minor := uint64(unix.Major(d)), uint64(unix.Minor(d))
	return minor&0xff | major<<8 | minor&^0xff<<12
}

func TestGuestUnwatch(t *testing.T) {
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		q := open(t, wq.Config{})
		watch(t, q, dir, 5, at)
		inguest.Inject(t, flood.Spec{Count: 3, Errno: 5}, files...)
		if err := q.Unwatch(dir); err != nil {
			t.Fatal(err)
		}
		inguest.Inject(t, flood.Spec{Count: 3, Errno: 5}, files...)
		removed(t, drain(t, q), 3, 5, dev(t, dir))
		if err := q.Unwatch(dir); !errors.Is(err, unix.EBADSLT) || !strings.Contains(err.Error(), "does not watch this filesystem") {
			t.Errorf("not watched: %v", err)
		}
		if s, err := q.Stats(); err != nil || s.Posted != 3 || s.Watches != nil {
			t.Errorf("counters %+v, %v, want 3 posted and no watch", s, err)
		}
		// It can be watched again.
		watch(t, q, dir, 6, at)
		inguest.Inject(t, flood.Spec{Count: 1, Errno: 5}, files...)
		if events := drain(t, q); len(events) != 1 || events[0].Watch != 6 {
			t.Errorf("got %v, want an error of watch 6", events)
		}
	})
}

// removed expects n errors and then the removal of a watch.
func removed(t *testing.T, events []fserr.Event, n int, watch uint8, id uint64) {
	t.Helper()
	if len(events) != n+1 {
		t.Fatalf("got %v, want %d errors and a removal", events, n)
	}
	for _, e := range events[:n] {
		if e.Kind != fserr.Error {
			t.Errorf("got %v, want an error", e)
		}
	}
	last := events[n]
	if last.Kind != fserr.Removed || last.Watch != watch {
		t.Fatalf("got %v, want the removal of watch %d", last, watch)
	}
	if got, ok := wq.RemovalID(last.Record.Bytes); !ok || got != id {
		t.Errorf("removed is %#x, %v, want %#x", got, ok, id)
	}
}

// The end of a filesystem is the last record of its watch.
func TestGuestUnmount(t *testing.T) {
	inguest.Series(t)
	for _, at := range []wq.Point{wq.Direct, wq.Deferred} {
		for _, fs := range []string{"ext4", "xfs"} {
			t.Run(fs+"/"+at.String(), func(t *testing.T) {
				dir := map[string]string{"ext4": os.Getenv(inguest.EXT4Env), "xfs": os.Getenv(inguest.XFSEnv)}[fs]
				device := inguest.Device(t, dir)
				q := open(t, wq.Config{})
				watch(t, q, dir, 8, at)
				id := dev(t, dir)
				root, err := os.Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				inguest.Inject(t, flood.Spec{Count: 3, Errno: 5}, root)
				root.Close()
				if err := unix.Unmount(dir, 0); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := unix.Mount(device, dir, fs, 0, ""); err != nil {
						t.Fatal(err)
					}
				}()
				removed(t, drain(t, q), 3, 8, id)
			})
		}
	}
}

func TestGuestFilter(t *testing.T) {
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		const deferred, watchID = 0x40000, 0xff00 // FS_ERROR_INFO_DEFERRED, WATCH_INFO_ID
		flag := uint32(0)
		if at == wq.Deferred {
			flag = deferred
		}
		q := open(t, wq.Config{})
		watch(t, q, dir, 2, at)
		filtered := uint64(0)
		for _, test := range []struct {
			name    string
			filters []wq.Filter
			want    int
		}{
			{"a class", []wq.Filter{{Type: wq.TypeFSError, Subtypes: []uint8{uint8(fserr.DataLost)}}}, 1},
			{"two classes", []wq.Filter{{Type: wq.TypeFSError, Subtypes: []uint8{uint8(fserr.DataLost), uint8(fserr.Metadata)}}}, 2},
			{"keys only", []wq.Filter{{Type: wq.TypeKey}}, 0},
			{"keys and errors", []wq.Filter{{Type: wq.TypeKey}, {Type: wq.TypeFSError}}, 2},
			{"this watch", []wq.Filter{{Type: wq.TypeFSError, Info: 2 << 8, Mask: watchID}}, 2},
			{"another watch", []wq.Filter{{Type: wq.TypeFSError, Info: 3 << 8, Mask: watchID}}, 0},
			{"posted here", []wq.Filter{{Type: wq.TypeFSError, Info: flag, Mask: deferred}}, 2},
			{"posted elsewhere", []wq.Filter{{Type: wq.TypeFSError, Info: flag ^ deferred, Mask: deferred}}, 0},
			{"all", nil, 2},
		} {
			if err := q.SetFilter(test.filters); err != nil {
				t.Fatal(err)
			}
			inguest.Inject(t, flood.Spec{Count: 1, Class: fserr.DataLost, Errno: 61}, files...)
			inguest.Inject(t, flood.Spec{Count: 1, Class: fserr.Metadata, Errno: 117}, files...)
			if events := drain(t, q); len(events) != test.want {
				t.Errorf("%s: got %v, want %d", test.name, events, test.want)
			}
			filtered += uint64(2 - test.want)
		}
		if s, err := q.Stats(); err != nil || s.Filtered != filtered || s.Watches[0].Filtered != filtered {
			t.Errorf("counters %+v, %v, want %d filtered", s, err, filtered)
		}
	})
}

// Keys and errors come through one queue in the order in which they happened.
func TestGuestKeysBeside(t *testing.T) {
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		q := open(t, wq.Config{})
		k := addKey(t, "beside")
		watchKey(t, q, k, 1)
		watch(t, q, dir, 2, wq.Direct)
		for range 3 {
			updateKey(t, k)
			inguest.Inject(t, flood.Spec{Count: 1, Errno: 5}, files...)
		}
		events := drain(t, q)
		if len(events) != 6 {
			t.Fatalf("got %v, want 6 events", events)
		}
		for i, e := range events {
			want := fserr.Error
			if i%2 == 0 {
				want = fserr.Other
			}
			if e.Kind != want || e.Watch != uint8(1+i%2) {
				t.Errorf("event %d: got %v", i, e)
			}
		}
		if s, err := q.Stats(); err != nil || s.Posted != 6 || len(s.Watches) != 2 {
			t.Errorf("counters %+v, %v", s, err)
		}
	})
}

// Posting where the error happens works where interrupts are off, and leaves
// them off.
func TestGuestContexts(t *testing.T) {
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		for _, context := range []string{"task", "irqoff", "hardirq"} {
			q := open(t, wq.Config{})
			watch(t, q, dir, 1, wq.Direct)
			r := inguest.Inject(t, flood.Spec{Count: 50, Errno: 5, Context: context, Atomic: context != "task"}, files...)
			if r.IRQClobbered != 0 {
				t.Errorf("%s: interrupts came back on %d times", context, r.IRQClobbered)
			}
			if events := drain(t, q); len(events) != 50 {
				t.Errorf("%s: %d events, want 50", context, len(events))
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestGuestRefusals(t *testing.T) {
	inguest.EachFS(t, 0, func(t *testing.T, dir string, _ []*os.File) {
		q := open(t, wq.Config{})
		watch(t, q, dir, 1, wq.Direct)
		for _, at := range []wq.Point{wq.Direct, wq.Deferred} {
			if err := q.Watch(dir, 2, at); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "this queue watches this filesystem already") {
				t.Errorf("watched twice: %v", err)
			}
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		if err := q.Watch(fmt.Sprintf("/proc/self/fd/%d", r.Fd()), 2, wq.Direct); !errors.Is(err, unix.EINVAL) {
			t.Errorf("errors of pipes: %v", err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		inguest.Unprivileged(t, func() {
			q, err := wq.Open(wq.Config{})
			if err != nil {
				t.Error(err)
				return
			}
			defer q.Close()
			if err := q.Watch(dir, 1, wq.Direct); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "needs CAP_SYS_ADMIN") {
				t.Errorf("without privileges: %v", err)
			}
		})
	})
}

// TestGuestSample compares what we read, record for record, with what the
// kernel's samples/watch_queue/watch_test.c prints. It watches the user's
// keyring as watch 2.
func TestGuestSample(t *testing.T) {
	inguest.Series(t)
	ready := 0
	sample := inguest.StartSample(t, func() {
		ready++
		addKey(t, fmt.Sprint("ready", ready))
	}, "watch_test")
	q := open(t, wq.Config{})
	watchKey(t, q, unix.KEY_SPEC_USER_KEYRING, 2)

	const n = 20
	var want, got []string
	for i := range n {
		name := fmt.Sprint("sample", i)
		k, err := unix.AddKey("user", "wqfan:"+name, []byte("x"), unix.KEY_SPEC_USER_KEYRING)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, k, unix.KEY_SPEC_USER_KEYRING, 0, 0); err != nil {
			t.Fatal(err)
		}
		for _, e := range drain(t, q) {
			got = append(got, sampleText(t, e))
		}
		// Leave out what was printed while the sample started, and the
		// sizes of its reads.
		for seen := 0; seen < 2; {
			line := sample.Line()
			if !strings.HasPrefix(line, "NOTIFY[") {
				continue
			}
			_, header, _ := strings.Cut(line, "]: ")
			body := sample.Line()
			if strings.HasSuffix(body, fmt.Sprintf("aux=%d", k)) {
				want = append(want, header+"\n"+body)
				seen++
			}
		}
	}
	if len(want) != 2*n {
		t.Errorf("the sample printed %d records, want %d", len(want), 2*n)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-watch_test +wq):\n%s", diff)
	}
}

// sampleText returns a record of a key as watch_test prints it, without its
// place in the buffer.
func sampleText(t *testing.T, e fserr.Event) string {
	t.Helper()
	k := key(t, e)
	info := uint32(e.Watch)<<8 | uint32(len(e.Record.Bytes))
	return fmt.Sprintf("ty=%06x sy=%02x i=%08x\nKEY %08x change=%d[%v] aux=%d",
		e.Record.Type, uint8(k.Change), info, uint32(k.ID), k.Change, k.Change, k.Aux)
}

// A file of the filesystem does as well as its mount point.
func TestGuestWatchFile(t *testing.T) {
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		fifo := filepath.Join(dir, "fifo")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{files[0].Name(), fifo} {
			q := open(t, wq.Config{})
			watch(t, q, path, 1, wq.Direct)
			inguest.Inject(t, flood.Spec{Count: 1, Errno: 5}, files...)
			if events := drain(t, q); len(events) != 1 {
				t.Errorf("%s: got %v, want one error", path, events)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
