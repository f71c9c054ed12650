// SPDX-License-Identifier: MIT

// Package repro reproduces overflow behaviours by name: it makes the errors
// that bring a behaviour about, reads the channel, and decides from what was
// read whether the running kernel behaves so.
//
// A behaviour is a script with expected output, a txtar file in behaviours:
//
//	# What is seen, in one line.
//	#
//	# Shows: what the script does, and what is to be seen.
//	# Kernels: which kernels show it, and where in their source.
//	# Fixed: what a kernel without it does, and by which patch.
//
//	queue q notes=32
//	keys q 100
//	read q once
//	poll q
//	read q
//	-- reproduced --
//	read q: 32 key updates
//	poll q: nothing to read
//	read q: lost: not counted
//	-- fixed --
//	read q: 32 key updates
//	read q: lost: not counted
//	poll q: nothing to read
//	read q: nothing
//
// What the script prints is compared with the two sections: it is the
// behaviour, or it is what a fixed kernel does, or it is neither. Where the
// patch is something to ask for, a section remedy is a second script that does,
// and remedied is what that prints. CONTRIBUTING.md lists the commands. What a
// kernel or a machine lacks makes a behaviour not applicable, in the words of
// the command that needed it.
//
// Scripts run as root, in a guest or on the host itself. On the host they run
// in a mount namespace of their own, on loop devices that go with their last
// user and keys that go with their process: whatever ends the program, the
// kernel clears up behind it. The one thing that is not undone by itself,
// fs.fanotify.max_queued_events, differs only while a group is made.
package repro
