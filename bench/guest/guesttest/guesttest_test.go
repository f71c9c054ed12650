// SPDX-License-Identifier: MIT

package guesttest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestGuest(t *testing.T) {
	Run(t, Options{Run: "^TestIn", FS: []string{"ext4", "xfs", "btrfs"}, CPUs: 2})
}

// TestInGuest checks what the package promises to tests that run in a guest.
func TestInGuest(t *testing.T) {
	if os.Getenv("WQFAN_GUEST") == "" {
		t.Skip("needs a guest: run by TestGuest")
	}
	for dir, magic := range map[string]int64{
		"/mnt/ext4": unix.EXT4_SUPER_MAGIC, "/mnt/xfs": unix.XFS_SUPER_MAGIC, "/mnt/btrfs": unix.BTRFS_SUPER_MAGIC,
		"/sys/kernel/debug": unix.DEBUGFS_MAGIC, "/tmp": unix.TMPFS_MAGIC,
	} {
		t.Run(dir[1:], func(t *testing.T) {
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				t.Fatal(err)
			}
			if st.Type != magic {
				t.Errorf("%s has magic %#x, want %#x", dir, st.Type, magic)
			}
			if err := os.WriteFile(dir+"/f", []byte("x"), 0o644); err != nil && dir != "/sys/kernel/debug" {
				t.Error(err)
			}
		})
	}
	t.Run("testdata", func(t *testing.T) {
		if _, err := os.Stat("testdata/pass.out"); err != nil {
			t.Error(err)
		}
	})
	t.Run("limits", func(t *testing.T) {
		var lim unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			t.Fatal(err)
		}
		if lim.Cur < 1<<18 {
			t.Errorf("%d open files", lim.Cur)
		}
	})
}

func TestInGuestSkips(t *testing.T) {
	if os.Getenv("WQFAN_GUEST") == "" {
		t.Skip("needs a guest: run by TestGuest")
	}
	t.Skip("to see that a skip comes through")
}
