// SPDX-License-Identifier: MIT

package guest

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// superblocks says where a filesystem keeps its magic, UUID and label.
var superblocks = map[string]struct {
	magicAt     int64
	magic       string
	uuid, label int64
}{
	"ext4":  {1080, "\x53\xef", 1128, 1144},
	"xfs":   {0, "XFSB", 32, 108},
	"btrfs": {65600, "_BHRfS_M", 65568, 65835},
}

func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := findTool(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func TestImage(t *testing.T) {
	for fs, sb := range superblocks {
		t.Run(fs, func(t *testing.T) {
			needTool(t, "mkfs."+fs)
			read := func(im Image) (uuid string) {
				path, err := im.Create(t.Context(), t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				at := func(off, n int64) string {
					b := make([]byte, n)
					if _, err := f.ReadAt(b, off); err != nil {
						t.Fatal(err)
					}
					return string(b)
				}
				if got := at(sb.magicAt, int64(len(sb.magic))); got != sb.magic {
					t.Errorf("magic %q", got)
				}
				label := im.Label
				if label == "" {
					label = fs
				}
				if got, _, _ := strings.Cut(at(sb.label, 12), "\x00"); got != label {
					t.Errorf("label %q, want %q", got, label)
				}
				return hex.EncodeToString([]byte(at(sb.uuid, 16)))
			}
			a, b, c := read(Image{FS: fs}), read(Image{FS: fs}), read(Image{FS: fs, Label: "other"})
			if a != strings.ReplaceAll(Image{FS: fs, Label: fs}.uuid(), "-", "") || a != b || a == c {
				t.Errorf("UUIDs %s, %s, and with another label %s", a, b, c)
			}
		})
	}
}

func TestImageRefuses(t *testing.T) {
	for _, tt := range []struct {
		im   Image
		want string
	}{
		{Image{FS: "ntfs"}, `image of "ntfs": want ext4, xfs or btrfs`},
		{Image{FS: "xfs", SizeMiB: 100}, "xfs image of 100 MiB: want at least 300"},
		{Image{FS: "xfs", Dir: "."}, "only ext4 can be filled"},
		{Image{FS: "xfs", Label: "a label that is too long"}, "xfs image in "},
	} {
		dir := t.TempDir()
		if tt.im.Label != "" {
			needTool(t, "mkfs.xfs")
		}
		_, err := tt.im.Create(t.Context(), dir)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.im, err, tt.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%+v: left behind: %v, %v", tt.im, left, err)
		}
	}
	_, err := diskTool(t.Context(), "mkfs.missing", "missing-progs", "")
	if want := "install it (Debian: apt install missing-progs)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestDebugfs(t *testing.T) {
	needTool(t, "mkfs.ext4")
	needTool(t, "debugfs")
	image, err := Image{FS: "ext4"}.Create(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := Debugfs(t.Context(), image, []string{"mkdir made", "set_inode_field /made links_count 7"}); err != nil {
		t.Fatal(err)
	}
	if err := Debugfs(t.Context(), image, []string{"stat /made"}); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		commands []string
		want     string
	}{
		{[]string{"stat /missing", "mkdir second"}, "/missing: File not found"},
		{[]string{"nonsense"}, "Command not found nonsense"},
		{[]string{"stat /\nquit"}, "has a newline"},
	} {
		if err := Debugfs(t.Context(), image, tt.commands); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.commands, err, tt.want)
		}
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no filesystem"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{text, "/nonexistent"} {
		if err := Debugfs(t.Context(), file, []string{"stat /"}); err == nil {
			t.Errorf("%s: no error", file)
		}
	}
}

// fakeTool makes a shell script the first program of a name in PATH.
func fakeTool(t *testing.T, name, script string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

// TestImageInterrupted ends the context while mkfs and a child of it run.
func TestImageInterrupted(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	fakeTool(t, "mkfs.ext4", "sleep 600 & echo $$ $! >"+pids+".new; mv "+pids+".new "+pids+"; wait")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("^C")
	var group []string
	go func() {
		for ctx.Err() == nil {
			if b, err := os.ReadFile(pids); err == nil {
				group = strings.Fields(string(b))
				cancel(why)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	dir := t.TempDir()
	_, err := Image{FS: "ext4"}.Create(ctx, dir)
	if !errors.Is(err, why) {
		t.Fatalf("%v: want %v", err, why)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, pid := range group {
		for alive(t, pid) {
			time.Sleep(time.Millisecond) // the test's deadline bounds it
		}
	}
}

// alive says whether a process is there and no zombie.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestImageNoSpace(t *testing.T) {
	fakeTool(t, "mkfs.xfs", "echo 'mkfs.xfs: pwrite failed: No space left on device' >&2; exit 1")
	_, err := Image{FS: "xfs"}.Create(t.Context(), t.TempDir())
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "set TMPDIR") {
		t.Errorf("%v: want ENOSPC and what to do", err)
	}
}
