// SPDX-License-Identifier: MIT

package monitor

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wqfan/fserr"
)

const mountinfo = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 8:1 /sub /bind rw shared:1 master:2 - xfs /dev/sda1 rw
41 27 8:1 / /mnt/with\040blank\134 rw - xfs /dev/sda1 rw
42 27 8:2 / /mnt/hidden rw - ext4 /dev/sda2 rw
43 42 8:3 / /mnt/hidden rw - ext4 /dev/mapper/vg-home rw
44 27 0:50 / /mnt/pool rw - btrfs /dev/sdb rw
45 27 0:51 / /mnt/net rw - nfs4 server:/export rw
`

func TestParseMounts(t *testing.T) {
	got, err := ParseMounts([]byte(mountinfo))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{22, 0, 21, "/", "/proc", "proc", "proc"},
		{27, 254, 0, "/", "/", "ext4", "/dev/vda"},
		{40, 8, 1, "/sub", "/bind", "xfs", "/dev/sda1"},
		{41, 8, 1, "/", `/mnt/with blank\`, "xfs", "/dev/sda1"},
		{42, 8, 2, "/", "/mnt/hidden", "ext4", "/dev/sda2"},
		{43, 8, 3, "/", "/mnt/hidden", "ext4", "/dev/mapper/vg-home"},
		{44, 0, 50, "/", "/mnt/pool", "btrfs", "/dev/sdb"},
		{45, 0, 51, "/", "/mnt/net", "nfs4", "server:/export"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d := got[5].Device(); d != "vg-home" {
		t.Errorf("the device is %q", d)
	}
	for _, line := range []string{"x", "27 1 254:0 / / rw - ext4", "27 1 254 / / rw - ext4 /dev/vda rw", "x 1 254:0 / / rw - ext4 /dev/vda rw"} {
		if got, err := ParseMounts([]byte(line)); err == nil {
			t.Errorf("%q gives %v", line, got)
		}
	}
	own, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if mounts, err := ParseMounts(own); err != nil || len(mounts) == 0 {
		t.Errorf("this machine: %v, %v", mounts, err)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte(mountinfo))
	f.Add([]byte(`1 2 3:4 \0 \777 - - - \04`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if mounts, err := ParseMounts(b); err != nil && mounts != nil {
			t.Fatalf("%v with %v", mounts, err)
		}
	})
}

func TestChoose(t *testing.T) {
	mounts, err := ParseMounts([]byte(mountinfo))
	if err != nil {
		t.Fatal(err)
	}
	local := onDevices([]byte("nodev\tproc\n\text4\n\txfs\n\tbtrfs\nnodev\tnfs4\n"))
	dirs := func(mounts []Mount) (dirs []string) {
		for _, m := range mounts {
			dirs = append(dirs, m.Dir)
		}
		return dirs
	}
	for _, test := range []struct{ named, want []string }{
		// The whole of sda1 rather than a part of it, and nothing that is hidden.
		{nil, []string{"/", `/mnt/with blank\`, "/mnt/hidden", "/mnt/pool"}},
		{[]string{"/bind", "/mnt/none"}, []string{"/bind"}},
		{[]string{"/mnt/net"}, []string{"/mnt/net"}},
	} {
		got := choose(mounts, test.named, local)
		if diff := cmp.Diff(test.want, dirs(got)); diff != "" {
			t.Errorf("%v: %s", test.named, diff)
		}
	}
	if got := choose(mounts, []string{"/mnt/hidden"}, local); len(got) != 1 || got[0].ID != 43 {
		t.Errorf("got %v, want the upper of two mounts", got)
	}
}

func TestTable(t *testing.T) {
	a, b := Mount{ID: 1, Dir: "/a", Minor: 1}, Mount{ID: 2, Dir: "/b", Minor: 2}
	var tab table
	if gone := tab.update([]Mount{a, b}); gone != nil {
		t.Errorf("gone: %v", gone)
	}
	all := tab.current()
	tab.identify(all[0], fserr.FSID{1}, 7)
	tab.identify(all[1], fserr.FSID{2}, 7)
	if all[0].id == all[1].id {
		t.Errorf("two watches have the id %d", all[0].id)
	}
	if news := tab.set(all[0], Fan, nil); news != Fan {
		t.Errorf("news: %q", news)
	}
	if news := tab.set(all[0], Fan, nil); news != "" {
		t.Errorf("news of nothing new: %q", news)
	}
	if news := tab.set(all[1], Fan, os.ErrPermission); news == "" || !tab.failing() || tab.status() != "watching 1 of 2 filesystems" {
		t.Errorf("news %q, status %q", news, tab.status())
	}
	// The same place, mounted anew, is another mount.
	again := a
	again.ID = 3
	gone := tab.update([]Mount{again})
	if len(gone) != 2 || len(tab.current()) != 1 || tab.current()[0].backend != "" {
		t.Errorf("gone: %v, left: %v", gone, tab.list())
	}
	for _, e := range []fserr.Event{{Has: fserr.HasFSID, FSID: fserr.FSID{2}}, {Has: fserr.HasWatch, Watch: all[1].id}} {
		if w := tab.find(&e); w != all[1] {
			t.Errorf("%v: %v, want the mount that is gone", e, w)
		}
	}
	if w := tab.find(&fserr.Event{}); w != nil {
		t.Errorf("an event of no filesystem is of %v", w)
	}
	// Mounts that come and go do not make it grow.
	for i := range 5000 {
		m := Mount{ID: 10 + i, Dir: "/c", Minor: uint32(10 + i)}
		tab.update([]Mount{again, m})
		for _, w := range tab.current() {
			tab.identify(w, fserr.FSID{uint32(w.ID)}, 7)
		}
	}
	if len(tab.byFSID) > 2*maxMounts+2 {
		t.Errorf("%d filesystems are remembered", len(tab.byFSID))
	}
}
