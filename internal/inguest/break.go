// SPDX-License-Identifier: MIT

package inguest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
)

// Break destroys a piece of metadata of a mounted filesystem on its disk: on ext4
// the first block of a directory, on XFS an inode. It returns the name of the
// directory or file that is broken, and its inode number. The test puts it back.
func Break(t *testing.T, fs string) (name string, ino uint64) {
	t.Helper()
	env, place := EXT4Env, dirBlock
	if fs == "xfs" {
		env, place = XFSEnv, xfsInode
	}
	mount := os.Getenv(env)
	device := Device(t, mount)
	name = filepath.Join(mount, "victim")
	at := place(t, name)
	ino = Stat(t, name).Ino
	remount := func(change func(*os.File) error) {
		t.Helper()
		if err := unix.Unmount(mount, 0); err != nil {
			t.Fatal(err)
		}
		disk, err := os.OpenFile(device, os.O_RDWR|os.O_SYNC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer disk.Close()
		if err := change(disk); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(device, mount, fs, 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	const size = 64
	good := make([]byte, size)
	remount(func(disk *os.File) error {
		if _, err := disk.ReadAt(good, at); err != nil {
			return err
		}
		if fs == "xfs" && (!bytes.HasPrefix(good, []byte("IN"))) {
			return fmt.Errorf("no inode at byte %d of %s: %x", at, device, good)
		}
		_, err := disk.WriteAt(bytes.Repeat([]byte{0x5a}, size/2), at+size/2)
		return err
	})
	t.Cleanup(func() {
		remount(func(disk *os.File) error {
			_, err := disk.WriteAt(good, at)
			return err
		})
		if err := os.RemoveAll(name); err != nil {
			t.Error(err)
		}
	})
	return name, ino
}

// BadWrite has the filesystem report n errors of a file that anyone may cause who
// may write it: with O_DIRECT, from an address that is not mapped (EFAULT).
func BadWrite(t *testing.T, name string, n int) {
	t.Helper()
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const page = 4096
	for range n {
		if _, _, errno := unix.Syscall6(unix.SYS_PWRITE64, uintptr(fd), page, page, 0, 0, 0); errno != unix.EFAULT {
			t.Fatalf("write to %s from an address that is not mapped: %v", name, errno)
		}
	}
}

// dirBlock makes a directory and returns where its first block is, in bytes.
func dirBlock(t *testing.T, name string) int64 {
	t.Helper()
	if err := os.Mkdir(name, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(name, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	dir, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	at, _, err := flood.FirstExtent(dir)
	if err != nil {
		t.Fatal(err)
	}
	return int64(at)
}

// xfsInode makes a file and returns where its inode is, in bytes. In the first
// allocation group, where the files of the root directory are, inodes are numbered
// by their place; they have the size that mkfs.xfs gives them.
func xfsInode(t *testing.T, name string) int64 {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	const inodeSize = 512
	return int64(Stat(t, name).Ino) * inodeSize
}

// Blob returns the record that the injector attaches to its error number i
// (Documentation/fault-injection/fserror-inject.rst of the series).
func Blob(i, n int) []byte {
	b := make([]byte, n)
	for j := range b {
		b[j] = byte(i + j)
	}
	return b
}

// BlobMagic is the magic of the injector's records; their type is 1.
const BlobMagic = 0x57514642

// Symbol returns the name of the kernel's function that an address is in.
func Symbol(t *testing.T, ip uint64) string {
	t.Helper()
	b, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	var best uint64
	var name string
	for line := range bytes.Lines(b) {
		var at uint64
		var typ, symbol string
		if _, err := fmt.Sscanf(string(line), "%x %s %s", &at, &typ, &symbol); err == nil && at <= ip && at > best {
			best, name = at, symbol
		}
	}
	return name
}
