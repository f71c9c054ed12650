// SPDX-License-Identifier: MIT

package bench

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"wqfan/bench/result"
)

// calibrate measures what every later number contains: the clock itself and a
// read that finds nothing.
func calibrate() (result.Calibration, error) {
	const n = 1001
	var c result.Calibration
	steps := make([]int64, 0, n)
	for range n {
		a, b := now(), now()
		steps = append(steps, b-a)
	}
	slices.Sort(steps)
	c.ReadP50 = steps[n/2]
	for i := range n {
		a := now()
		for range i % 64 { // another time between the readings
		}
		steps[i] = now() - a
	}
	c.Resolution = resolution(steps)

	c.EmptyFan, c.EmptyWQ = -1, -1
	group, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_NONBLOCK|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err == nil {
		c.EmptyFan, err = emptyRead(group, n)
		unix.Close(group)
	}
	if err != nil {
		return c, fmt.Errorf("calibrate: an empty read of fanotify: %w", err)
	}
	var pipe [2]int
	// O_NOTIFICATION_PIPE is O_EXCL, linux/watch_queue.h. A kernel without
	// watch queues answers ENOPKG: there is nothing to calibrate then.
	if err := unix.Pipe2(pipe[:], unix.O_EXCL|unix.O_NONBLOCK|unix.O_CLOEXEC); err == nil {
		c.EmptyWQ, err = emptyRead(pipe[0], n)
		unix.Close(pipe[0])
		unix.Close(pipe[1])
		if err != nil {
			return c, fmt.Errorf("calibrate: an empty read of a watch queue: %w", err)
		}
	}
	return c, nil
}

// resolution is the step of a clock that gave these differences: the smallest by
// which two of them differ.
func resolution(diffs []int64) int64 {
	slices.Sort(diffs)
	diffs = slices.Compact(diffs)
	step := diffs[len(diffs)-1]
	for i := 1; i < len(diffs); i++ {
		step = min(step, diffs[i]-diffs[i-1])
	}
	return step
}

func emptyRead(fd, n int) (int64, error) {
	buf := make([]byte, 4096)
	costs := make([]int64, n)
	for i := range costs {
		t := now()
		_, err := unix.Read(fd, buf)
		costs[i] = now() - t
		if err != unix.EAGAIN {
			return -1, os.NewSyscallError("read", err)
		}
	}
	slices.Sort(costs)
	return costs[n/2], nil
}

// now reads CLOCK_MONOTONIC in ns.
func now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail with a valid clock and pointer
	return ts.Nano()
}
