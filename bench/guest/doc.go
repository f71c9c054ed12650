// SPDX-License-Identifier: MIT

// Package guest boots a kernel in QEMU, runs one handler in it and carries the
// results out.
//
// One static binary (CGO_ENABLED=0) is host tool and guest init. A program that
// boots guests of itself starts with
//
//	if guest.IsInit() {
//		guest.Main(handlers)
//	}
//
// and calls [Run] on the host. Inside the guest process 1 mounts what a Linux
// user space needs, runs the handler that the [Job] names in a child process,
// sends the final record, unmounts and powers off. The child may crash, be
// killed or leave processes behind: process 1 reports it and reaps them.
//
// # Results
//
// Records leave over a virtio-serial port as JSON lines, each handed to
// [Job.OnRecord] as it arrives, so that nothing measured is lost when the guest
// dies later. The last line is a final record; its absence is an error. The host
// acknowledges the final record before the guest powers off.
//
// # How a boot ends
//
// [Run] returns nil or an [*Error] whose [Kind] says what happened, and each
// Kind has an exit status:
//
//	0    ok
//	1    Failed: the handler returned an error, panicked or was killed
//	2    usage (never from this package)
//	3    IdentityBroken: the handler returned an error that wraps IdentityBroken
//	4    Panicked: the kernel reported a panic, an oops or a BUG, or the guest
//	     ended without a final record
//	5    Hung: no output within Stall, or not done within Timeout; Flooded: more
//	     than MaxSerial bytes on the console
//	6    RunnerFailed: QEMU, the kernel image, a disk, the host
//	130  Interrupted
//
// # Modes, and what their numbers mean
//
//   - kvm: guest time is the host's hardware time: nanoseconds.
//   - tcg: QEMU translates the guest's instructions, on one host thread per CPU.
//     Use it for loss semantics and ratios within one boot; a guest nanosecond
//     says nothing about hardware.
//   - icount: translated too, on one CPU, and guest time advances by one unit for
//     each instruction executed (-icount shift=0,sleep=off; idle time is skipped).
//     The unit is instructions, repeatable to a fraction of a percent. What is
//     left to vary is when a disk answers: keep measured code off the disks.
//
// KVM is used only where a kernel really boots under it: see [Detect].
//
// # Environment
//
// WQFAN_GUEST=1 is set in the guest. WQFAN_QEMU names another QEMU binary.
package guest
