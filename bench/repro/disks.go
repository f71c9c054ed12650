// SPDX-License-Identifier: MIT

package repro

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"wqfan/bench/guest"
	"wqfan/internal/loop"
)

// Disks is where filesystems come from.
type Disks interface {
	// Take returns the block device of the n-th filesystem of a script, from 0,
	// with an ext4 on it. release is called once it is mounted.
	Take(ctx context.Context, n int) (device string, release func(), err error)
}

// maxDisks is how many filesystems a script has.
const maxDisks = 3

// guestDisks are the disks of the machine.
type guestDisks struct{}

func serial(n int) string { return fmt.Sprintf("repro%d", n) }

func (guestDisks) Take(_ context.Context, n int) (string, func(), error) {
	device, err := guest.FindDisk(serial(n))
	return device, func() {}, err
}

// loopDisks are loop devices over images that are made when they are needed,
// and are without a name as soon as they are attached.
type loopDisks struct{}

// Take attaches an image to a loop device that goes with its last user.
func (loopDisks) Take(ctx context.Context, n int) (string, func(), error) {
	image, err := unnamed(ctx, guest.Image{FS: "ext4", Label: serial(n)})
	if err != nil {
		return "", nil, err
	}
	defer image.Close()
	device, err := loop.Attach(image, unix.LO_FLAGS_AUTOCLEAR)
	if err != nil {
		return "", nil, err
	}
	return device.Name(), func() { device.Close() }, nil
}

// unnamed makes an image and opens it; no file of it stays.
func unnamed(ctx context.Context, im guest.Image) (*os.File, error) {
	dir, cleanup, err := guest.TempDir()
	if err != nil {
		return nil, err
	}
	defer cleanup()
	name, err := im.Create(ctx, dir)
	if err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_RDWR, 0)
}
