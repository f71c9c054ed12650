// SPDX-License-Identifier: MIT

package bench

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"wqfan/bench/scenario"
)

// mount returns where the filesystems are mounted that the cell floods, and
// those that it watches. Where the cell is about many, or watches another than
// it floods, they are made of memory.
func mount(c scenario.Cell, t Task) (flooded, watched []string, unmount func(), err error) {
	var made []string
	unmount = func() {
		for _, dir := range made {
			_ = unix.Unmount(dir, 0)
		}
	}
	tmpfs := func() error {
		dir, err := os.MkdirTemp("", "tmpfs-")
		if err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("mount a tmpfs: %w", err)
		}
		made = append(made, dir)
		return nil
	}
	n := c.Mounts
	if c.Idle {
		n = 1
	}
	for range n {
		if err := tmpfs(); err != nil {
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
