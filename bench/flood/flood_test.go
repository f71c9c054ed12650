// SPDX-License-Identifier: MIT

package flood

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"wqfan/fserr"
)

func TestIsBlob(t *testing.T) {
	for _, tt := range []struct {
		b    []byte
		n    int
		want bool
	}{
		{[]byte{254, 255, 0, 1}, 4, true},
		{[]byte{254, 255, 0}, 2, true},
		{[]byte{254, 255, 0, 0, 0, 0}, 2, false},
		{[]byte{254, 255, 1}, 2, false},
		{[]byte{254}, 2, false},
		{[]byte{254, 254}, 2, false},
	} {
		if got := IsBlob(tt.b, 510, tt.n); got != tt.want {
			t.Errorf("%v of %d bytes: %v", tt.b, tt.n, got)
		}
	}
}

func TestBound(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want time.Duration
	}{
		{Spec{Schedule: Poisson, Interval: time.Millisecond}, time.Millisecond},
		{Spec{Schedule: Fixed, Interval: time.Microsecond}, 100 * time.Microsecond},
		{Spec{Schedule: Fixed, Interval: time.Microsecond, Burst: 100, Gap: 20 * time.Millisecond}, 20 * time.Millisecond},
	} {
		if got := tt.spec.Bound(); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.spec, got, tt.want)
		}
	}
}

func TestCommand(t *testing.T) {
	tests := []struct {
		name string
		spec Spec
		fds  []int
		want string
	}{
		{"flat", Spec{Count: 3, Class: fserr.Metadata, Errno: fserr.EFSCORRUPTED}, []int{7},
			"targets=7 scope=fs count=3 schedule=flat class=metadata errno=117 threads=1 gfp=kernel drain=1"},
		{"ranges", Spec{Count: 1, Errno: 5, PerInode: true}, []int{3, 4, 5, 9, 11, 12},
			"targets=3-5,9,11-12 scope=inode count=1 schedule=flat class=buffered-read errno=5 threads=1 gfp=kernel drain=1"},
		{"everything", Spec{Count: 9, Schedule: Poisson, Interval: time.Millisecond, Burst: 3, Gap: time.Second, Seed: 42, Class: fserr.DataLost,
			Errno: 5, Threads: 2, CPUs: "0-1", Atomic: true, Context: "irqoff", Blob: 300, Log: true}, []int{3},
			"targets=3 scope=fs count=9 schedule=poisson class=data-lost errno=5 threads=2 gfp=atomic drain=1 interval=1000000 burst=3 gap=1000000000 seed=42 cpus=0-1 context=irqoff blob=300 log=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, tt.spec.command(tt.fds)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseReport(t *testing.T) {
	const good = "attempted 10\naccepted 8\nrefused 2\nelapsed_ns 12\nstart_ns 99\nlate_max_ns 7\nirq_clobbered 1\ndrained 1\n"
	got, err := parseReport([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	want := Report{Attempted: 10, Accepted: 8, Refused: 2, Elapsed: 12, LateMax: 7, IRQClobbered: 1, Drained: true}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for name, bad := range map[string]string{
		"empty":         "",
		"truncated":     good[:40],
		"no value":      "attempted\n",
		"not a number":  strings.Replace(good, "12", "x", 1),
		"does not add":  strings.Replace(good, "accepted 8", "accepted 9", 1),
		"a line absent": strings.Replace(good, "late_max_ns 7\n", "", 1),
	} {
		if _, err := parseReport([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestParseLog(t *testing.T) {
	if _, err := parseLog(make([]byte, 25)); err == nil {
		t.Error("25 bytes: no error")
	}
	got, err := parseLog(append(make([]byte, 24), 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0))
	if err != nil || len(got) != 2 || got[1] != (Stamp{1, 2, 3}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDeviceMapperLayout(t *testing.T) {
	if n := unsafe.Sizeof(dmIoctl{}); n != dmSize {
		t.Errorf("struct dm_ioctl: %d bytes, want %d", n, dmSize)
	}
	if n := unsafe.Sizeof(dmTargetSpec{}); n != 40 {
		t.Errorf("struct dm_target_spec: %d bytes, want 40", n)
	}
	if n := unsafe.Sizeof(fiemap{}); n != 32+56 {
		t.Errorf("struct fiemap with one extent: %d bytes, want 88", n)
	}
}
