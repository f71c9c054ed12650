// SPDX-License-Identifier: MIT

package repro

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"wqfan/bench/guest"
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
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", nil, fmt.Errorf("a loop device: %w (needs root and CONFIG_BLK_DEV_LOOP)", err)
	}
	defer control.Close()
	for {
		i, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", nil, fmt.Errorf("a free loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", i)
		loop, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return "", nil, err
		}
		config := unix.LoopConfig{Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
		runtime.KeepAlive(image)
		if err == nil {
			return name, func() { loop.Close() }, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) { // somebody else was faster
			return "", nil, fmt.Errorf("attach an image to %s: %w", name, err)
		}
	}
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
