// SPDX-License-Identifier: MIT

package patches_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"wqfan/bench/guest"
	"wqfan/bench/guest/guesttest"
	"wqfan/bench/kernel"
	"wqfan/internal/need"
	"wqfan/wq"
)

// policyDir is where the policies are in the guest.
const policyDir = "/policy"

// A policy decides who watches a filesystem's errors, and a file's.
func TestSELinux(t *testing.T) {
	if !*series {
		t.Skip("needs a kernel of its own: make series-test")
	}
	selinux(t, image(t, kernel.Options{Variant: "lsm"}))
}

// selinux compiles a policy that forbids all watching, and what it becomes with
// permissions, and boots the guest's side. To watch a filesystem takes two, of the
// filesystem and of the file that it is found by.
func selinux(t *testing.T, im *kernel.Image) {
	t.Helper()
	need.Programs(t, "checkpolicy")
	source, err := os.ReadFile("testdata/selinux.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var files []guest.File
	const superblock = "allow base_t base_t:filesystem { watch };"
	for name, rule := range map[string]string{
		"none": "", "superblock": superblock, "filesystem": superblock + "\nallow base_t base_t:file { watch_sb };",
		"file": "allow base_t base_t:file { watch };",
	} {
		conf, bin := filepath.Join(dir, name+".conf"), filepath.Join(dir, name)
		if err := os.WriteFile(conf, bytes.Replace(source, []byte("# ALLOW"), []byte(rule), 1), 0o666); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "checkpolicy", "-U", "allow", "-o", bin, conf)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
		files = append(files, guest.File{Path: filepath.Join(policyDir, name), Host: bin})
	}
	boot(t, guesttest.Options{Kernel: im.Path, Run: "^TestGuestSELinux$", FS: []string{"ext4"}, Files: files})
}

func TestGuestSELinux(t *testing.T) {
	need.Guest(t)
	const dir, selinuxfs = "/mnt/ext4", "/sys/fs/selinux"
	if _, err := os.Stat(policyDir); errors.Is(err, os.ErrNotExist) {
		t.Skip("TestSELinux has the policies")
	}
	if err := unix.Mount("selinuxfs", selinuxfs, "selinuxfs", 0, ""); err != nil {
		t.Fatalf("mount selinuxfs: %v", err)
	}
	file, err := os.Create(filepath.Join(dir, "watched"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	watches := map[string]func(q *wq.Queue) error{
		"filesystem": func(q *wq.Queue) error { return q.Watch(file.Name(), 1, wq.Direct) },
		"file":       func(q *wq.Queue) error { return q.WatchFile(file, 1) },
	}
	for _, policy := range []string{"", "none", "superblock", "filesystem", "file"} {
		if policy != "" {
			data, err := os.ReadFile(filepath.Join(policyDir, policy))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(selinuxfs, "load"), data, 0); err != nil {
				t.Fatalf("load the policy %s: %v", policy, err)
			}
			if err := os.WriteFile(filepath.Join(selinuxfs, "enforce"), []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
		}
		for what, watch := range watches {
			q, err := wq.Open(wq.Config{})
			if err != nil {
				t.Fatal(err)
			}
			err = watch(q)
			q.Close()
			switch allowed := policy == "" || policy == what; {
			case allowed && err != nil:
				t.Errorf("policy %q, %s: %v", policy, what, err)
			case !allowed && err == nil:
				t.Errorf("policy %q, %s: watched what the policy forbids", policy, what)
			case !allowed && !errors.Is(err, unix.EACCES):
				t.Errorf("policy %q, %s: %v, want %v", policy, what, err, unix.EACCES)
			}
		}
	}
}
