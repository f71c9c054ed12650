// SPDX-License-Identifier: MIT

package wq_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fserr"
	"wqfan/internal/inguest"
	"wqfan/wq"
)

// Losses come first, have a count for each watch, and add up.
func TestGuestLossCount(t *testing.T) {
	inguest.WholeSeries(t)
	q := open(t, wq.Config{Notes: 32, LossCount: true})
	dirs := []string{os.Getenv(inguest.EXT4Env), os.Getenv(inguest.XFSEnv)}
	var roots []*os.File
	for i, dir := range dirs {
		watch(t, q, dir, uint8(i+1), wq.Direct)
		root, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		roots = append(roots, root)
	}
	for _, test := range []struct{ first, second uint64 }{{100, 50}, {20, 13}, {33, 0}, {10_000, 1}} {
		inguest.Inject(t, flood.Spec{Count: test.first, Errno: 5}, roots[0])
		if test.second > 0 {
			inguest.Inject(t, flood.Spec{Count: test.second, Errno: 5}, roots[1])
		}
		if !readable(t, q) {
			t.Error("poll(2) does not announce the loss")
		}
		want := []fserr.Event{}
		kept := min(test.first, 32)
		for i, lost := range []uint64{test.first - kept, test.second - min(test.second, 32-kept)} {
			if lost > 0 {
				want = append(want, fserr.Event{Kind: fserr.Lost, Has: fserr.HasWatch | fserr.HasCount, Watch: uint8(i + 1), Count: lost})
			}
		}
		events := drain(t, q)
		if len(events) != len(want)+32 {
			t.Fatalf("%d events, want %d losses and 32 errors", len(events), len(want))
		}
		for i := range want {
			want[i].Recv = events[i].Recv
		}
		if diff := gocmp.Diff(want, events[:len(want)]); diff != "" {
			t.Error(diff)
		}
	}

	// The loss of a removal is told, and what a watch lost before it went.
	inguest.Inject(t, flood.Spec{Count: 40, Errno: 5}, roots[0])
	if err := q.Unwatch(dirs[0]); err != nil {
		t.Fatal(err)
	}
	events := drain(t, q)
	want := fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: 8, Loss: fserr.LostRemoval, Recv: events[0].Recv}
	if diff := gocmp.Diff(want, events[0]); diff != "" || len(events) != 33 {
		t.Errorf("%d events, the first:\n%s", len(events), diff)
	}
}

// A loss on an empty queue is counted too.
func TestGuestLossCountUnsized(t *testing.T) {
	inguest.WholeSeries(t)
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		q := open(t, wq.Config{Notes: wq.Unsized, LossCount: true})
		watch(t, q, dir, 4, wq.Direct)
		inguest.Inject(t, flood.Spec{Count: 10, Errno: 5}, files...)
		if events := drain(t, q); len(events) != 1 || events[0].Count != 10 || events[0].Watch != 4 {
			t.Errorf("got %v, want 10 lost of watch 4", events)
		}
	})
}

// Queues can be longer than mainline's.
func TestGuestManyNotes(t *testing.T) {
	inguest.WholeSeries(t)
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		q := open(t, wq.Config{Notes: 4000}) // 125 pages
		watch(t, q, dir, 1, at)
		inguest.Inject(t, flood.Spec{Count: 3990, Errno: 5}, files...)
		if s, err := q.Stats(); err != nil || s.Notes != 4000 || s.High != 3990 || s.Lost != 0 {
			t.Errorf("counters %+v, %v", s, err)
		}
		if events := drain(t, q); len(events) != 3990 {
			t.Errorf("%d events, want 3990", len(events))
		}
	})
}

func TestGuestFSFilter(t *testing.T) {
	inguest.WholeSeries(t)
	eachPoint(t, 2, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		q := open(t, wq.Config{})
		watch(t, q, dir, 2, at)
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		ino := inguest.Stat(t, files[0].Name()).Ino
		for _, test := range []struct {
			name  string
			rules []wq.FSRule
			want  int // of: an inode's EIO, another's, EFSCORRUPTED and ENODATA of the filesystem
		}{
			{"a class", []wq.FSRule{{Classes: []fserr.Class{fserr.DataLost}}}, 1},
			{"two classes", []wq.FSRule{{Classes: []fserr.Class{fserr.DataLost, fserr.BufferedRead}}}, 3},
			{"an errno", []wq.FSRule{{Errno: fserr.EFSCORRUPTED}}, 1},
			{"an inode", []wq.FSRule{{Ino: ino}}, 1},
			{"an inode with another errno", []wq.FSRule{{Ino: ino, Errno: 61}}, 0},
			{"an inode or an errno", []wq.FSRule{{Ino: ino}, {Errno: 61}}, 2},
			{"this filesystem", []wq.FSRule{{Magic: uint32(st.Type)}}, 4},
			{"another filesystem", []wq.FSRule{{Magic: 0x9123683e}}, 0},
			{"all", nil, 4},
		} {
			if err := q.SetFSFilter(test.rules); err != nil {
				t.Fatal(err)
			}
			inguest.Inject(t, flood.Spec{Count: 2, PerInode: true, Class: fserr.BufferedRead, Errno: 5}, files...)
			inguest.Inject(t, flood.Spec{Count: 1, Class: fserr.Metadata, Errno: fserr.EFSCORRUPTED}, files...)
			inguest.Inject(t, flood.Spec{Count: 1, Class: fserr.DataLost, Errno: 61}, files...)
			if events := drain(t, q); len(events) != test.want {
				t.Errorf("%s: got %v, want %d", test.name, events, test.want)
			}
		}
	})
}

// A flood of one class cannot push out another that has a reserve.
func TestGuestReserve(t *testing.T) {
	inguest.WholeSeries(t)
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		q := open(t, wq.Config{Notes: 64, LossCount: true})
		watch(t, q, dir, 1, at)
		reserve := wq.Reserve{Type: wq.TypeFSError, Subtypes: []uint8{uint8(fserr.DataLost)}, Slots: 16}
		if err := q.SetReserve(reserve); err != nil {
			t.Fatal(err)
		}
		inguest.Inject(t, flood.Spec{Count: 1000, Class: fserr.Metadata, Errno: 117}, files...)
		inguest.Inject(t, flood.Spec{Count: 16, Class: fserr.DataLost, Errno: 61}, files...)
		classes := map[fserr.Class]int{}
		var lost uint64
		for _, e := range drain(t, q) {
			if e.Kind == fserr.Lost {
				lost += e.Count
			} else {
				classes[e.Class]++
			}
		}
		if classes[fserr.Metadata] != 48 || classes[fserr.DataLost] != 16 || lost != 952 {
			t.Errorf("got %v, %d lost; want 48, 16 and 952", classes, lost)
		}
		// Without it they are all alike.
		if err := q.SetReserve(wq.Reserve{}); err != nil {
			t.Fatal(err)
		}
		inguest.Inject(t, flood.Spec{Count: 1000, Class: fserr.Metadata, Errno: 117}, files...)
		inguest.Inject(t, flood.Spec{Count: 16, Class: fserr.DataLost, Errno: 61}, files...)
		for _, e := range drain(t, q) {
			if e.Kind == fserr.Error && e.Class == fserr.DataLost {
				t.Fatal("a full queue had room")
			}
		}
		reserve.Slots = 64
		if err := q.SetReserve(reserve); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "must be smaller than the queue") {
			t.Errorf("all slots reserved: %v", err)
		}
	})
}

// chained checks that the records of events are the injector's and returns how
// many are whole, and the missing parts of the others.
func chained(t *testing.T, events []fserr.Event, n int) (whole int, broken []string) {
	t.Helper()
	for _, e := range events {
		switch {
		case e.Kind == fserr.Lost:
		case e.Kind != fserr.Error:
			t.Errorf("got %v", e)
		case e.Is(fserr.HasBroken):
			broken = append(broken, e.Record.Missing.String())
		default:
			whole++
			want := fserr.Record{Magic: inguest.BlobMagic, Type: 1, Bytes: inguest.Blob(int(e.Pos), n)}
			if diff := gocmp.Diff(want, e.Record); diff != "" || !e.Is(fserr.HasRecord) {
				t.Fatalf("%v:\n%s", e, diff)
			}
		}
	}
	return whole, broken
}

// Records of all lengths arrive whole when there is room.
func TestGuestChains(t *testing.T) {
	inguest.WholeSeries(t)
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		for _, whole := range []bool{false, true} {
			q := open(t, wq.Config{ChainWhole: whole})
			watch(t, q, dir, 1, at)
			for _, n := range []int{1, 24, 104, 105, 4096} {
				inguest.Inject(t, flood.Spec{Count: 10, Errno: 5, Blob: n}, files...)
				if got, broken := chained(t, drain(t, q), n); got != 10 || broken != nil {
					t.Errorf("%d bytes: %d whole, broken %v; want 10", n, got, broken)
				}
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// When the queue is full, independent parts make broken chains, and all or
// nothing makes none. The counters of both say what became of each.
func TestGuestChainPolicies(t *testing.T) {
	inguest.WholeSeries(t)
	eachPoint(t, 1, func(t *testing.T, at wq.Point, dir string, files []*os.File) {
		const blob, parts, n = 1000, 10, 20 // 11 notes each, into 32
		for _, test := range []struct {
			whole  bool
			broken []string
			stats  wq.WatchStats
			loss   fserr.Loss
		}{
			{false, []string{"10"}, wq.WatchStats{ID: 1, Posted: 3, Lost: n - 3, PartsLost: 1 + (n-3)*parts}, fserr.LostParts},
			{true, nil, wq.WatchStats{ID: 1, Posted: 2, Lost: n - 2}, 0},
		} {
			q := open(t, wq.Config{Notes: 32, LossCount: true, ChainWhole: test.whole})
			watch(t, q, dir, 1, at)
			inguest.Inject(t, flood.Spec{Count: n, Errno: 5, Blob: blob}, files...)
			s, err := q.Stats()
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff([]wq.WatchStats{test.stats}, s.Watches); diff != "" {
				t.Errorf("whole %v: counters:\n%s", test.whole, diff)
			}
			events := settle(t, q)
			whole, broken := chained(t, events, blob)
			if diff := gocmp.Diff(test.broken, broken); whole != 2 || diff != "" {
				t.Errorf("whole %v: %d whole, broken:\n%s", test.whole, whole, diff)
			}
			if e := events[0]; e.Kind != fserr.Lost || e.Count != test.stats.Lost || e.Loss != test.loss {
				t.Errorf("whole %v: got %v, want %d lost", test.whole, e, test.stats.Lost)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Where an error was noticed is for those who may know.
func TestGuestLocation(t *testing.T) {
	inguest.WholeSeries(t)
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		for _, at := range []wq.Point{wq.Direct, wq.Deferred} {
			q := open(t, wq.Config{})
			if err := q.WatchLocation(dir, 1, at); err != nil {
				t.Fatal(err)
			}
			inguest.Inject(t, flood.Spec{Count: 1, Errno: 5, Blob: 24}, files...)
			events := drain(t, q)
			if whole, _ := chained(t, events, 24); whole != 1 || !events[0].Is(fserr.HasLocation) {
				t.Fatalf("got %v", events)
			}
			if s := inguest.Symbol(t, events[0].IP); !strings.Contains(s, "inject") {
				t.Errorf("%#x is in %s, want the injector", events[0].IP, s)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
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
			if err := q.WatchLocation(dir, 1, wq.Direct); !errors.Is(err, unix.EPERM) {
				t.Errorf("without privileges: %v", err)
			}
		})
	})
}

// A process without privileges is told of the errors of the file that it holds
// open, and of nothing else.
func TestGuestFile(t *testing.T) {
	inguest.WholeSeries(t)
	if file := inguest.IsNobody(); file != nil {
		holdFile(t, file)
		return
	}
	inguest.EachFS(t, 2, func(t *testing.T, dir string, files []*os.File) {
		said := inguest.Nobody(t, "TestGuestFile", files[0], func() {
			inguest.Inject(t, flood.Spec{Count: 6, PerInode: true, Class: fserr.DataLost, Errno: 61, Blob: 300}, files...)
			inguest.Inject(t, flood.Spec{Count: 3, Errno: 117, Blob: 300}, files...)
			for _, f := range files { // real ones
				inguest.BadWrite(t, f.Name(), 1)
			}
		})
		ino, gen := inguest.Stat(t, files[0].Name()).Ino, inguest.Generation(t, files[0])
		var want []string
		for i := range 3 {
			want = append(want, fmt.Sprintf("error ENODATA class=data-lost ino=%d gen=%d pos=%d seq=%d watch=9", ino, gen, 2*i, i+1))
		}
		want = append(want, fmt.Sprintf("error EFAULT class=directio-write ino=%d gen=%d pos=0 seq=4 watch=9", ino, gen),
			fmt.Sprintf("removed watch=9 id=%d", ino))
		if diff := gocmp.Diff(want, said); diff != "" {
			t.Error(diff)
		}
	})
}

func holdFile(t *testing.T, file *os.File) {
	q := open(t, wq.Config{})
	if err := q.WatchFile(file, 9); err != nil {
		t.Fatal(err)
	}
	if err := q.WatchFile(file, 9); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "this queue watches this file already") {
		t.Errorf("watched twice: %v", err)
	}
	if err := q.Watch("/proc/self/fd/3", 1, wq.Direct); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		t.Errorf("the whole filesystem: %v", err)
	}
	inguest.NobodyReady()
	if err := q.UnwatchFile(file); err != nil {
		t.Fatal(err)
	}
	for _, e := range drain(t, q) {
		if e.Kind == fserr.Removed {
			id, _ := wq.RemovalID(e.Record.Bytes)
			inguest.NobodySay(fmt.Sprintf("removed watch=%d id=%d", e.Watch, id))
			continue
		}
		if e.Has&(fserr.HasRecord|fserr.HasBroken|fserr.HasLocation) != 0 {
			t.Errorf("got %v, which is not all about this file", e)
		}
		inguest.NobodySay(fmt.Sprintf("%v %v class=%v ino=%d gen=%d pos=%d seq=%d watch=%d", e.Kind, e.Errno.String(), e.Class, e.Ino, e.Gen, e.Pos, e.Seq, e.Watch))
	}
	if err := q.UnwatchFile(file); !errors.Is(err, unix.EBADSLT) || !strings.Contains(err.Error(), "this queue does not watch this file") {
		t.Errorf("not watched: %v", err)
	}
}

// A file must be open for more than its name.
func TestGuestFileRefusals(t *testing.T) {
	inguest.WholeSeries(t)
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		fd, err := unix.Open(files[0].Name(), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		path := os.NewFile(uintptr(fd), "path")
		defer path.Close()
		if err := open(t, wq.Config{}).WatchFile(path, 1); !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), "O_PATH") {
			t.Errorf("a path: %v", err)
		}
	})
}

// Real errors come with what ext4 and XFS say of them in their own terms.
func TestGuestRecord(t *testing.T) {
	inguest.WholeSeries(t)
	for _, at := range []wq.Point{wq.Direct, wq.Deferred} {
		t.Run("ext4/"+at.String(), func(t *testing.T) {
			name, ino := inguest.Break(t, "ext4")
			e := metOnce(t, name+"/file", at)
			r, err := fserr.DecodeEXT4(e.Record)
			if err != nil || r.Ino != ino || r.InodeType.String() != "directory" || r.Code.String() != "dir-block" || e.Ino != ino || e.Magic != fserr.EXT4Magic {
				t.Errorf("%v: %v, %v; want a block of directory %d", e, r, err, ino)
			}
			t.Log(e)
		})
		t.Run("xfs/"+at.String(), func(t *testing.T) {
			name, ino := inguest.Break(t, "xfs")
			e := metOnce(t, name, at)
			r, err := fserr.DecodeXFS(e.Record)
			if err != nil || r.Group != fserr.XFSInode || r.Ino != ino || strings.Join(r.SickNames(), " ") != "inode" || e.Magic != fserr.XFSMagic {
				t.Errorf("%v: %v, %v; want inode %d", e, r, err, ino)
			}
			t.Log(e)
		})
	}
}

// metOnce meets a broken file and returns the first error of that.
func metOnce(t *testing.T, name string, at wq.Point) fserr.Event {
	t.Helper()
	q := open(t, wq.Config{})
	watch(t, q, name[:strings.LastIndex(name, "/victim")], 1, at)
	if _, err := os.Stat(name); err == nil {
		t.Fatalf("nothing is wrong with %s", name)
	}
	events := settle(t, q)
	if len(events) == 0 || !events[0].Is(fserr.HasRecord) {
		t.Fatalf("got %v, want a record", events)
	}
	return events[0]
}
