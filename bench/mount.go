// SPDX-License-Identifier: MIT

package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"wqfan/bench/scenario"
	"wqfan/internal/loop"
)

// SmallExt4 is where a guest has the image that the many filesystems of a cell
// are copies of: an ext4 without checksums, so that each can be given a UUID.
const SmallExt4 = "/images/ext4"

// mount returns where the filesystems are mounted that the cell floods, and
// those that it watches. Where the cell is about many, they are in the guest's
// memory: tmpfs, or ext4 on loop devices; one that is watched and not flooded is
// a tmpfs.
func mount(c scenario.Cell, t Task) (flooded, watched []string, unmount func(), err error) {
	var made []string
	unmount = func() {
		for _, dir := range made {
			_ = unix.Unmount(dir, 0)
		}
	}
	one := func(kind string) error {
		dir, err := os.MkdirTemp("", kind+"-")
		if err != nil {
			return err
		}
		if kind == "ext4" {
			err = mountCopy(dir, len(made))
		} else if err = unix.Mount(kind, dir, kind, 0, ""); err != nil {
			err = fmt.Errorf("mount a %s: %w", kind, err)
		}
		if err == nil {
			made = append(made, dir)
		}
		return err
	}
	n, kind := c.Mounts, c.FS
	if c.Idle {
		n, kind = 1, "tmpfs"
	}
	for range n {
		if err := one(kind); err != nil {
			unmount()
			return nil, nil, nil, err
		}
	}
	flooded, watched = []string{t.Mounts[c.FS]}, made
	if c.Mounts > 0 {
		flooded = made
	}
	if n == 0 {
		watched = flooded
	}
	return flooded, watched, unmount, nil
}

// Where an ext4 has its UUID (struct ext4_super_block, s_uuid), and how much of
// it is written at a time.
const (
	uuidAt = 1024 + 0x68
	block  = 4096
)

// mountCopy mounts a copy of SmallExt4 that is told from the others by its UUID,
// as statfs(2) makes its fsid of that. Image and device go with the mount.
func mountCopy(dir string, n int) error {
	image, err := os.ReadFile(SmallExt4)
	if err != nil {
		return err
	}
	if len(image) < uuidAt+16 {
		return fmt.Errorf("%s has %d bytes: no filesystem", SmallExt4, len(image))
	}
	binary.BigEndian.PutUint32(image[uuidAt+12:], uint32(n))
	f, err := os.CreateTemp("", "ext4-*.img")
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if err := f.Truncate(int64(len(image))); err != nil {
		return err
	}
	for at := 0; at < len(image); at += block {
		if b := image[at:min(at+block, len(image))]; !bytes.Equal(b, make([]byte, len(b))) {
			if _, err := f.WriteAt(b, int64(at)); err != nil {
				return err
			}
		}
	}
	device, err := loop.Attach(f, unix.LO_FLAGS_AUTOCLEAR)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := unix.Mount(device.Name(), dir, "ext4", 0, "errors=continue"); err != nil {
		return fmt.Errorf("mount %s, a copy of %s: %w", device.Name(), SmallExt4, err)
	}
	return nil
}
