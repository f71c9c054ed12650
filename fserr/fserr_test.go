// SPDX-License-Identifier: MIT

package fserr_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"syscall"
	"testing"

	"wqfan/fserr"
)

func TestEventString(t *testing.T) {
	for _, test := range []struct {
		event fserr.Event
		want  string
	}{
		{fserr.Event{}, "kind 0"},
		{fserr.Event{Kind: fserr.Error}, "error"},
		// What is not in Has is not data, whatever the field holds.
		{fserr.Event{Kind: fserr.Error, Errno: 5, Ino: 12, Count: 3, PIDFD: 9}, "error"},
		{fserr.Event{Kind: fserr.Lost}, "lost count=unknown"},
		{fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: 7}, "lost count=7"},
		{fserr.Event{Kind: fserr.Removed, Has: fserr.HasWatch, Watch: 3}, "removed watch=3"},
		{fserr.Event{Kind: fserr.Other, Has: fserr.HasRecord, Record: fserr.Record{Type: 1, Bytes: []byte{0xab}}}, "other record=0x0/1:ab"},
		{fserr.Event{
			Kind: fserr.Error, Has: math.MaxUint32 &^ fserr.HasBroken, Class: fserr.DataLost, Watch: 1, Errno: fserr.EFSCORRUPTED,
			FSID: fserr.FSID{0xabc, 1 << 31}, Ino: 12, Gen: 34, PID: 56, PIDFD: 7, Handle: fserr.Handle{Type: 0x81, Bytes: []byte{1, 2}},
			Pos: -4096, Len: 512, Count: 2, Seq: 99, Time: 1e9, Recv: 2e9, Magic: 0xef53, IP: 0xffffffff81000000, Record: fserr.Record{Magic: 0xef53, Type: 4, Bytes: []byte{0xff}},
		}, "error EFSCORRUPTED class=data-lost fsid=00000abc.80000000 magic=0xef53 ino=12 gen=34 handle=0x81:0102 pos=-4096 len=512 count=2 " +
			"seq=99 time=1000000000 pid=56 watch=1 ip=0xffffffff81000000 record=0xef53/4:ff"},
		{fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Loss: fserr.LostParts | fserr.LostRemoval}, "lost count=0 and parts and a removal"},
		{fserr.Event{Kind: fserr.Error, Has: fserr.HasBroken, Record: fserr.Record{Magic: 0xef53, Type: 1, Missing: 2, Bytes: []byte{1}}},
			"error broken=0xef53/1:01 without parts 2"},
	} {
		if got := test.event.String(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

func TestEventErrors(t *testing.T) {
	for _, test := range []struct {
		event fserr.Event
		want  uint64
	}{
		{fserr.Event{Kind: fserr.Error}, 1},
		{fserr.Event{Kind: fserr.Error, Count: 5}, 1}, // no data without Has
		{fserr.Event{Kind: fserr.Error, Has: fserr.HasCount, Count: 5}, 5},
		{fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: 5}, 0},
		{fserr.Event{Kind: fserr.Removed}, 0},
		{fserr.Event{Kind: fserr.Other}, 0},
	} {
		if got := test.event.Errors(); got != test.want {
			t.Errorf("%v stands for %d errors, want %d", test.event, got, test.want)
		}
	}
}

func TestEventIs(t *testing.T) {
	e := fserr.Event{Has: fserr.HasInode | fserr.HasErrno}
	if !e.Is(fserr.HasInode) || !e.Is(fserr.HasInode|fserr.HasErrno) {
		t.Error("fields that are there are missing")
	}
	if e.Is(fserr.HasInode|fserr.HasClass) || e.Is(fserr.HasPID) {
		t.Error("fields that are missing are there")
	}
}

func TestKindString(t *testing.T) {
	for kind, want := range map[fserr.Kind]string{
		fserr.Error: "error", fserr.Lost: "lost", fserr.Removed: "removed", fserr.Other: "other", fserr.Fragment: "fragment", 0: "kind 0", 77: "kind 77",
	} {
		if got := kind.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestClass(t *testing.T) {
	names := []string{"buffered-read", "buffered-write", "directio-read", "directio-write", "data-lost", "metadata"}
	for i, name := range names {
		c := fserr.Class(i)
		if c.String() != name {
			t.Errorf("class %d is %q, want %q", i, c, name)
		}
		if got, err := fserr.ParseClass(name); err != nil || got != c {
			t.Errorf("%q is class %d, %v, want %d", name, got, err, c)
		}
	}
	if fserr.Metadata != fserr.Class(len(names)-1) {
		t.Errorf("there are classes without a name here: the last is %d", fserr.Metadata)
	}
	if got := fserr.Class(6).String(); got != "class 6" {
		t.Errorf("got %q", got)
	}
	for _, name := range []string{"", "Metadata", "class 6"} {
		if _, err := fserr.ParseClass(name); err == nil || !strings.Contains(err.Error(), "buffered-read") {
			t.Errorf("%q: %v, want an error that lists the classes", name, err)
		}
	}
}

func TestErrno(t *testing.T) {
	for errno, want := range map[fserr.Errno][2]string{
		5:                  {"EIO", "EIO: input/output error"},
		fserr.EFSBADCRC:    {"EFSBADCRC", "EFSBADCRC: bad message"},
		fserr.EFSCORRUPTED: {"EFSCORRUPTED", "EFSCORRUPTED: structure needs cleaning"},
		4000:               {"errno 4000", "errno 4000: errno 4000"},
	} {
		if got := [2]string{errno.String(), errno.Error()}; got != want {
			t.Errorf("%d: got %q, want %q", uint32(errno), got, want)
		}
	}
	wrapped := fmt.Errorf("read a folder: %w", fserr.EFSCORRUPTED)
	if !errors.Is(wrapped, syscall.EUCLEAN) || !errors.Is(wrapped, fserr.EFSCORRUPTED) {
		t.Error("EFSCORRUPTED is not EUCLEAN")
	}
	if errors.Is(wrapped, syscall.EIO) || errors.Is(wrapped, fs.ErrNotExist) {
		t.Error("EFSCORRUPTED is something else too")
	}
}

func TestAccount(t *testing.T) {
	for _, test := range []struct {
		account         fserr.Account
		unexplained     int64
		lost, delivered uint64
		want            string
	}{
		{fserr.Account{}, 0, 0, 0,
			"injected 0 = refused 0 + detailed 0 + coalesced 0 + filtered 0 + lost signalled 0 + lost silently 0 + unexplained 0"},
		{fserr.Account{Injected: 28, Refused: 1, Detailed: 2, Coalesced: 3, Filtered: 4, Signalled: 5, Silent: 6}, 7, 11, 5,
			"injected 28 = refused 1 + detailed 2 + coalesced 3 + filtered 4 + lost signalled 5 + lost silently 6 + unexplained 7"},
		{fserr.Account{Injected: 1, Detailed: 3}, -2, 0, 3,
			"injected 1 = refused 0 + detailed 3 + coalesced 0 + filtered 0 + lost signalled 0 + lost silently 0 + unexplained -2"},
	} {
		a := test.account
		if a.Unexplained() != test.unexplained || a.Lost() != test.lost || a.Delivered() != test.delivered {
			t.Errorf("%v: unexplained %d, lost %d, delivered %d; want %d, %d, %d",
				a, a.Unexplained(), a.Lost(), a.Delivered(), test.unexplained, test.lost, test.delivered)
		}
		if a.String() != test.want {
			t.Errorf("got  %s\nwant %s", a, test.want)
		}
	}
}

func TestFormatError(t *testing.T) {
	err := &fserr.FormatError{Channel: "fanotify", Record: "file_handle", Offset: 36, Problem: "too long"}
	if got, want := err.Error(), "fanotify: file_handle at byte 36: too long"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func ExampleEvent_Errors() {
	for _, e := range []fserr.Event{
		{Kind: fserr.Error, Has: fserr.HasErrno | fserr.HasCount, Errno: fserr.EFSCORRUPTED, Count: 998},
		{Kind: fserr.Error, Has: fserr.HasErrno, Errno: 5},
		{Kind: fserr.Lost},
	} {
		fmt.Printf("%v: %d errors\n", e, e.Errors())
	}
	// Output:
	// error EFSCORRUPTED count=998: 998 errors
	// error EIO: 1 errors
	// lost count=unknown: 0 errors
}

func ExampleAccount() {
	a := fserr.Account{Injected: 1000, Detailed: 32, Signalled: 967}
	fmt.Println(a)
	if n := a.Unexplained(); n != 0 {
		fmt.Printf("%d error has no fate\n", n)
	}
	// Output:
	// injected 1000 = refused 0 + detailed 32 + coalesced 0 + filtered 0 + lost signalled 967 + lost silently 0 + unexplained 1
	// 1 error has no fate
}
