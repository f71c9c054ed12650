// SPDX-License-Identifier: MIT

package campaign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"wqfan/bench"
	"wqfan/bench/cdecode"
	"wqfan/bench/guest"
	"wqfan/bench/kernel"
	"wqfan/bench/scenario"
)

// attach gives the machine the disks that the boot's cells need.
func (c *campaign) attach(ctx context.Context, m *guest.Machine, job *guest.Job, task *bench.Task) error {
	have := map[string]bool{}
	add := func(serial string, mount bool) error {
		if have[serial] {
			return nil
		}
		have[serial] = true
		image, err := c.image(ctx, serial)
		if err != nil {
			return err
		}
		m.Disks = append(m.Disks, guest.Disk{Image: image, Serial: serial})
		if mount {
			dir := "/mnt/" + serial
			task.Mounts[serial] = dir
			job.Mounts = append(job.Mounts, guest.Mount{Disk: len(m.Disks) - 1, Dir: dir, Type: serial})
		}
		return nil
	}
	for _, cell := range task.Boot.Cells {
		if cell.Scenario == scenario.Decode {
			if err := c.addDecoder(ctx, m, cell.Arm); err != nil {
				return err
			}
		}
		serial, mount := cell.FS, true
		if cell.Scenario == scenario.Corruption {
			mount = false
			if serial = bench.SpareXFS; cell.FS == "ext4" {
				serial = bench.BrokenExt4
			}
		}
		if cell.Mounts > 0 && serial == "ext4" {
			image, err := c.image(ctx, smallExt4)
			if err != nil {
				return err
			}
			addFile(m, guest.File{Path: bench.SmallExt4, Host: image})
		}
		if cell.Mounts > 0 || serial == "tmpfs" {
			continue // the guest makes them
		}
		if err := add(serial, mount); err != nil {
			return err
		}
	}
	return nil
}

// addDecoder gives the machine the decoder in C of an arm, if one can be made.
func (c *campaign) addDecoder(ctx context.Context, m *guest.Machine, arm scenario.Arm) error {
	to := bench.Decoder(arm)
	im, err := kernel.Describe(m.Kernel)
	if _, noCC := exec.LookPath("cc"); noCC != nil || errors.Is(err, kernel.ErrNotBuilt) {
		return nil // the cell says so
	}
	if err != nil {
		return err
	}
	c.disksMu.Lock()
	defer c.disksMu.Unlock()
	program := filepath.Join(c.tmp, filepath.Base(to))
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		if err := cdecode.Compile(ctx, arm.Name, im.Headers(), program); err != nil {
			return err
		}
	}
	addFile(m, guest.File{Path: to, Host: program})
	return nil
}

// addFile gives the machine a file, once.
func addFile(m *guest.Machine, f guest.File) {
	if !slices.ContainsFunc(m.Files, func(have guest.File) bool { return have.Path == f.Path }) {
		m.Files = append(m.Files, f)
	}
}

// smallExt4 stands for the image that becomes [bench.SmallExt4].
const smallExt4 = "small-ext4"

// image makes the disk of a serial number, once for all boots: what a guest
// writes does not reach it.
func (c *campaign) image(ctx context.Context, serial string) (string, error) {
	c.disksMu.Lock()
	defer c.disksMu.Unlock()
	if c.disks[serial] != "" {
		return c.disks[serial], nil
	}
	// The label sets the UUID: XFS mounts no two of the same.
	img := guest.Image{FS: serial, Label: serial}
	switch serial {
	case bench.SpareXFS:
		img.FS = "xfs"
	case bench.BrokenExt4:
		img.FS = "ext4"
	case smallExt4:
		img.FS, img.SizeMiB, img.Without = "ext4", 8, "metadata_csum"
	}
	name, err := c.create(ctx, serial, img)
	if err != nil {
		return "", fmt.Errorf("make the disk %s: %w", serial, err)
	}
	if c.disks == nil {
		c.disks = map[string]string{}
	}
	c.disks[serial] = name
	return name, nil
}

// create makes one image; the ext4 of the corruption scenario gets a directory
// and an inode that are then broken with debugfs.
func (c *campaign) create(ctx context.Context, serial string, img guest.Image) (string, error) {
	dir := filepath.Join(c.tmp, serial)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if serial != bench.BrokenExt4 {
		return img.Create(ctx, dir)
	}
	content := filepath.Join(dir, "content")
	if err := os.MkdirAll(filepath.Join(content, bench.BadDir), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(content, bench.BadDir, "x"), nil, 0o644); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(content, bench.BadFile), []byte("lost\n"), 0o644); err != nil {
		return "", err
	}
	img.Dir = content
	name, err := img.Create(ctx, dir)
	if err != nil {
		return "", err
	}
	return name, guest.Debugfs(ctx, name, []string{
		"zap_block -f /" + bench.BadDir + " -p 0x5a 0",
		"set_inode_field /" + bench.BadFile + " mode 0170000",
	})
}
