// SPDX-License-Identifier: MIT

package fan_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fan"
	"wqfan/fserr"
	"wqfan/internal/inguest"
)

// A detailed group has each error by itself, with all that was injected, in either
// format of the filesystem's record.
func TestGuestDetailed(t *testing.T) {
	inguest.EachFS(t, 3, func(t *testing.T, dir string, files []*os.File) {
		for _, test := range []struct {
			cfg  fan.Config
			n    int // bytes of the record
			want fserr.Record
		}{
			{fan.Config{Detailed: true}, 300, fserr.Record{Magic: inguest.BlobMagic, Type: 1}},
			{fan.Config{Detailed: true}, 4096, fserr.Record{Magic: inguest.BlobMagic, Type: 1}},
			{fan.Config{Detailed: true}, 0, fserr.Record{}},
			{fan.Config{Detailed: true, Blob: true}, 300, fserr.Record{Magic: inguest.BlobMagic}},
			{fan.Config{Detailed: true, Blob: true}, 5, fserr.Record{Magic: inguest.BlobMagic}},
		} {
			g := open(t, test.cfg)
			watch(t, g, dir)
			const n = 30
			inguest.Inject(t, flood.Spec{Count: n, PerInode: true, Class: fserr.DirectIOWrite, Errno: 5, Blob: test.n}, files...)
			events := collect(t, g, n)
			if len(events) != n {
				t.Fatalf("%d events, want %d", len(events), n)
			}
			slices.SortFunc(events, func(a, b fserr.Event) int { return int(a.Pos - b.Pos) }) // workers may overtake each other
			for i, e := range events {
				file := files[i%len(files)]
				want := fserr.Event{
					Kind: fserr.Error,
					Has: fserr.HasErrno | fserr.HasCount | fserr.HasFSID | fserr.HasHandle | fserr.HasInode | fserr.HasPID |
						fserr.HasClass | fserr.HasRange,
					Class: fserr.DirectIOWrite, Errno: 5, Count: 1, FSID: inguest.FSID(t, dir),
					Ino: inguest.Stat(t, file.Name()).Ino, Gen: inguest.Generation(t, file), Pos: int64(i), Len: e.Len,
					Handle: e.Handle, PID: e.PID, Recv: e.Recv, Record: test.want,
				}
				if test.n > 0 {
					want.Has |= fserr.HasMagic | fserr.HasRecord
					want.Magic = inguest.BlobMagic
					want.Record.Bytes = inguest.Blob(i, test.n)
					if test.cfg.Blob {
						want.Record.Bytes = append(want.Record.Bytes, make([]byte, -test.n&3)...)
					}
				}
				if diff := cmp.Diff(want, e); diff != "" {
					t.Fatalf("error %d:\n%s", i, diff)
				}
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A full queue tells exactly how many it dropped.
func TestGuestOverflowCount(t *testing.T) {
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		g := limited(t, 8, fan.Config{Detailed: true, OverflowCount: true})
		watch(t, g, dir)
		var dropped uint64
		for _, n := range []uint64{9, 100, 5000} {
			inguest.Inject(t, flood.Spec{Count: n, Errno: 5}, files...)
			dropped += n - 8
			events := make([]fserr.Event, 16)
			k, err := g.Read(t.Context(), events)
			if err != nil {
				t.Fatal(err)
			}
			if last := events[k-1]; k != 9 || last.Kind != fserr.Lost || !last.Is(fserr.HasCount) || last.Count != n-8 {
				t.Errorf("of %d errors: got %v, want 8 and a loss of %d", n, events[:k], n-8)
			}
			if s, err := g.Stats(); err != nil || s.Dropped != dropped {
				t.Errorf("counters %+v, %v; want %d dropped", s, err, dropped)
			}
		}
		empty(t, g)
	})
}

// A full queue counts what it can merge.
func TestGuestMergeWhenFull(t *testing.T) {
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		g := limited(t, 1, fan.Config{MergeWhenFull: true})
		watch(t, g, dir)
		const n = 100
		inguest.Inject(t, flood.Spec{Count: n, Errno: 5}, files...)
		events := make([]fserr.Event, 4)
		k, err := g.Read(t.Context(), events)
		if err != nil {
			t.Fatal(err)
		}
		s, err := g.Stats()
		// An error that another worker reports cannot be merged.
		if err != nil || s.Queued != 1 || s.Merged == 0 || events[0].Count != 1+s.Merged || s.Queued+s.Merged+s.Dropped != n {
			t.Errorf("got %v, counters %+v, %v", events[:k], s, err)
		}
		if lost := k == 2 && events[1].Kind == fserr.Lost; lost != (s.Dropped > 0) {
			t.Errorf("got %v with %d dropped", events[:k], s.Dropped)
		}
		empty(t, g)
	})
}

// Where an error was noticed is for those who may know.
func TestGuestLocation(t *testing.T) {
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		g := open(t, fan.Config{Location: true})
		watch(t, g, dir)
		inguest.Inject(t, flood.Spec{Count: 1, Errno: 5}, files...)
		e := collect(t, g, 1)[0]
		if s := inguest.Symbol(t, e.IP); !e.Is(fserr.HasLocation) || !strings.Contains(s, "inject") {
			t.Errorf("%v is in %s, want the injector", e, s)
		}
		inguest.Unprivileged(t, func() {
			if _, err := fan.Open(fan.Config{Location: true}); !errors.Is(err, unix.EPERM) {
				t.Errorf("without privileges: %v", err)
			}
		})
	})
}

// A process without privileges is told of the errors of the file that it holds
// open, and of nothing else.
func TestGuestFile(t *testing.T) {
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
			want = append(want, fmt.Sprintf("error ENODATA class=data-lost ino=%d gen=%d pos=%d count=1", ino, gen, 2*i))
		}
		want = append([]string{fmt.Sprintf("error EFAULT class=directio-write ino=%d gen=%d pos=0 count=1", ino, gen)}, want...)
		slices.Sort(said) // workers may overtake each other
		if diff := cmp.Diff(want, said); diff != "" {
			t.Error(diff)
		}
	})
}

func holdFile(t *testing.T, file *os.File) {
	g := open(t, fan.Config{Detailed: true})
	if err := g.WatchFile(file); err != nil {
		t.Fatal(err)
	}
	if err := g.Watch("/proc/self/fd/3"); !errors.Is(err, unix.EPERM) {
		t.Errorf("the whole filesystem: %v", err)
	}
	inguest.NobodyReady()
	if err := g.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	events := make([]fserr.Event, 64)
	n, err := g.Read(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events[:n] {
		if e.Has&(fserr.HasRecord|fserr.HasBroken|fserr.HasLocation|fserr.HasMagic) != 0 {
			t.Errorf("got %v, which is not all about this file", e)
		}
		inguest.NobodySay(fmt.Sprintf("%v %v class=%v ino=%d gen=%d pos=%d count=%d", e.Kind, e.Errno.String(), e.Class, e.Ino, e.Gen, e.Pos, e.Count))
	}
	if err := g.UnwatchFile(file); err != nil {
		t.Error(err)
	}
	if err := g.UnwatchFile(file); !errors.Is(err, unix.ENOENT) {
		t.Errorf("not watched: %v", err)
	}
}

// Real errors come with what ext4 and XFS say of them in their own terms, in
// either format.
func TestGuestRecord(t *testing.T) {
	inguest.Series(t)
	for name, cfg := range map[string]fan.Config{"record": {Detailed: true}, "blob": {Detailed: true, Blob: true}} {
		t.Run("ext4/"+name, func(t *testing.T) {
			victim, ino := inguest.Break(t, "ext4")
			e := metOnce(t, filepath.Join(victim, "file"), filepath.Dir(victim), cfg)
			r, err := fserr.DecodeEXT4(e.Record)
			if err != nil || r.Ino != ino || r.InodeType.String() != "directory" || r.Code.String() != "dir-block" || e.Ino != ino {
				t.Errorf("%v: %v, %v; want a block of directory %d", e, r, err, ino)
			}
		})
		t.Run("xfs/"+name, func(t *testing.T) {
			victim, ino := inguest.Break(t, "xfs")
			e := metOnce(t, victim, filepath.Dir(victim), cfg)
			r, err := fserr.DecodeXFS(e.Record)
			if err != nil || r.Group != fserr.XFSInode || r.Ino != ino || strings.Join(r.SickNames(), " ") != "inode" {
				t.Errorf("%v: %v, %v; want inode %d", e, r, err, ino)
			}
		})
	}
}

// metOnce meets a broken file and returns the first error of that.
func metOnce(t *testing.T, name, dir string, cfg fan.Config) fserr.Event {
	t.Helper()
	g := open(t, cfg)
	watch(t, g, dir)
	if _, err := os.Stat(name); err == nil {
		t.Fatalf("nothing is wrong with %s", name)
	}
	return collect(t, g, 1)[0]
}
