// SPDX-License-Identifier: MIT

package monitor

import (
	"strings"
	"testing"
	"time"

	"wqfan/fserr"
	"wqfan/internal/stream"
)

func init() { time.Local = time.UTC }

func TestDescribe(t *testing.T) {
	at := time.Date(2026, 11, 22, 18, 40, 22, 123e6, time.UTC)
	fs := &watched{Mount: Mount{Dir: "/srv", Type: "xfs", Source: "/dev/dm-0"}}
	for _, test := range []struct {
		in         taken
		json, line string
	}{
		{taken{Event: fserr.Event{Kind: fserr.Error, Has: fserr.HasErrno | fserr.HasCount, Errno: fserr.EFSCORRUPTED, Count: 998}, from: fs, by: Fan},
			`{"time":"2026-11-22T18:40:22.123Z","kind":"error","backend":"fan","mount":"/srv","device":"dm-0","fstype":"xfs","error":"EFSCORRUPTED","errno":117,"count":998}`,
			"18:40:22.123 /srv (dm-0, xfs) EFSCORRUPTED ×998"},
		{taken{Event: fserr.Event{Kind: fserr.Error, Has: fserr.HasErrno | fserr.HasClass | fserr.HasInode | fserr.HasRange | fserr.HasSeq,
			Errno: 5, Class: fserr.DirectIORead, Ino: 131, Pos: 0, Len: 4096, Seq: 7}, from: fs, by: WQ},
			`{"time":"2026-11-22T18:40:22.123Z","kind":"error","backend":"wq","mount":"/srv","device":"dm-0","fstype":"xfs","class":"directio-read","error":"EIO","errno":5,"ino":131,"gen":0,"pos":0,"len":4096,"seq":7}`,
			"18:40:22.123 /srv (dm-0, xfs) directio-read EIO inode 131 bytes 0+4096"},
		{taken{Event: fserr.Event{Kind: fserr.Error, Has: fserr.HasErrno, Errno: 5}, by: Fan},
			`{"time":"2026-11-22T18:40:22.123Z","kind":"error","backend":"fan","error":"EIO","errno":5}`,
			"18:40:22.123 EIO"},
		{taken{Event: fserr.Event{Kind: fserr.Lost}, by: Fan},
			`{"time":"2026-11-22T18:40:22.123Z","kind":"lost","backend":"fan"}`,
			"18:40:22.123 LOST an unknown number of events: the queue of fan was full"},
		{taken{Event: fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: 17}, from: fs, by: HealthMon},
			`{"time":"2026-11-22T18:40:22.123Z","kind":"lost","backend":"healthmon","mount":"/srv","device":"dm-0","fstype":"xfs","count":17}`,
			"18:40:22.123 LOST /srv (dm-0, xfs) 17 events: the queue of healthmon was full"},
		{taken{Event: fserr.Event{Kind: fserr.Removed}, from: fs, by: Fan},
			`{"time":"2026-11-22T18:40:22.123Z","kind":"removed","backend":"fan","mount":"/srv","device":"dm-0","fstype":"xfs"}`,
			"18:40:22.123 /srv (dm-0, xfs) unmounted"},
	} {
		test.in.now = at
		e := describe(&test.in, newResolver())
		if got := strings.TrimSuffix(string(e.JSON()), "\n"); got != test.json {
			t.Errorf("got  %s\nwant %s", got, test.json)
		}
		if got := e.String(); got != test.line {
			t.Errorf("got  %s\nwant %s", got, test.line)
		}
	}
}

// Names come from the filesystem, and the terminal must not obey them.
func TestPrintable(t *testing.T) {
	e := Event{Kind: "error", Mount: "/mnt", Device: "vda", FSType: "ext4", Path: "/mnt/\x1b[31m\nfake line"}
	if got := e.String(); strings.ContainsAny(got, "\x1b\n") || !strings.Contains(got, `"/mnt/\x1b[31m\nfake line"`) {
		t.Errorf("got %q", got)
	}
}

func TestDelay(t *testing.T) {
	now := stream.Now()
	in := taken{Event: fserr.Event{Kind: fserr.Error, Has: fserr.HasTime, Time: now - 5e9, Recv: now - 4e9}, by: WQ, now: time.Now()}
	if d, ok := in.delay(); !ok || d != time.Second {
		t.Errorf("delay %v, %v", d, ok)
	}
	if at, ok := in.reported(); !ok || in.now.Sub(at).Round(time.Second) != 5*time.Second {
		t.Errorf("reported at %v, it is %v", at, in.now)
	}
	if _, ok := (&taken{Event: fserr.Event{Kind: fserr.Error}, by: Fan}).delay(); ok {
		t.Error("a channel without a timestamp has a delay")
	}
}
