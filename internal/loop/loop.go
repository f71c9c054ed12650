// SPDX-License-Identifier: MIT

// Package loop makes block devices of images.
package loop

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Attach makes a loop device of an image, which may be closed then, and returns
// the device, open for reading and writing. With unix.LO_FLAGS_AUTOCLEAR the
// device goes with its last user. It needs root, and CONFIG_BLK_DEV_LOOP; errors
// wrap the kernel's errno.
func Attach(image *os.File, flags uint32) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("a loop device: %w (needs root and CONFIG_BLK_DEV_LOOP)", err)
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("a free loop device: %w", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: flags}}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		runtime.KeepAlive(image)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) { // somebody else was faster
			return nil, fmt.Errorf("attach %s to %s: %w", image.Name(), device.Name(), err)
		}
	}
}
