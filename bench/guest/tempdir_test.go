// SPDX-License-Identifier: MIT

package guest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTempDir(t *testing.T) {
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	dir, cleanup, err := TempDir()
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v: want a directory of nobody else's", st, err)
	}
	removeStale(parent, 0)
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("a directory in use is removed: %v", err)
	}
	cleanup()
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestTempDirRelative: QEMU and mkfs get the path, and run elsewhere perhaps.
func TestTempDirRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", "tmp")
	dir, cleanup, err := TempDir()
	if err != nil {
		t.Fatal(err)
	}
	defer cleanup()
	if !filepath.IsAbs(dir) {
		t.Errorf("%s is a relative path", dir)
	}
}

// TestRemoveStale has a directory that a killed process has left, and some that
// only look like it.
func TestRemoveStale(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name  string
		lock  func(file string) error // nil: there is none
		uid   int
		age   time.Duration
		stays bool
	}{
		{name: "123", lock: empty},
		{name: "1", lock: empty, age: 2 * time.Hour, stays: true},
		{name: "2", stays: true},
		{name: "thesis", lock: empty, stays: true},
		{name: "1a", lock: empty, stays: true},
		{name: "", lock: empty, stays: true},
		{name: "3", lock: func(file string) error { return unix.Mkfifo(file, 0o600) }, stays: true},
		{name: "4", lock: func(file string) error { return os.Mkdir(file, 0o700) }, stays: true},
		{name: "5", lock: func(file string) error { return os.Symlink("f", file) }, stays: true},
		{name: "6", lock: empty, uid: 65534, stays: true},
	} {
		t.Run("wqfan-guest-"+tt.name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, tempPattern+tt.name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := empty(filepath.Join(dir, "f")); err != nil {
				t.Fatal(err)
			}
			if tt.lock != nil {
				if err := tt.lock(filepath.Join(dir, tempLock)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.uid != 0 {
				if os.Geteuid() != 0 {
					if os.Getenv("CI") == "true" {
						t.Fatal("another user's directory takes root to make")
					}
					t.Skip("another user's directory takes root to make")
				}
				if err := os.Chown(dir, tt.uid, -1); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chtimes(dir, old, old); err != nil {
				t.Fatal(err)
			}
			removeStale(parent, max(tt.age, time.Minute))
			if _, err := os.Stat(dir); (err == nil) != tt.stays {
				t.Errorf("%v: want it to stay %v", err, tt.stays)
			}
		})
	}
}

func empty(file string) error { return os.WriteFile(file, nil, 0o600) }
