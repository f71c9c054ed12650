// SPDX-License-Identifier: MIT

// Package wq reads filesystem errors, and other news, from a watch_queue: the
// kernel's general notification queue, in Linux since 5.8.
//
// [Open] makes a queue, [Queue.Watch] adds a filesystem, [Queue.Read] returns
// its errors in batches as [fserr.Event]. [Decode] is the parser alone, for
// those who have the bytes from elsewhere.
//
// # What a watch_queue says about an error
//
// Everything that fserror_report was told: which filesystem and inode, which
// error, its class and range, when, and a sequence number. Every error is a
// record of its own, nothing is merged.
//
// The queue is a ring of fixed length that posting never waits for. When it is
// full the new record is dropped, and one record without a count says so, once
// those before it are read: kind Lost.
//
// # Kernels
//
// Mainline's only source are keys, [Queue.WatchKey]. The source of filesystem
// errors is the prototype in the project's kernel-patches. The package works
// with both and says which patch is missing.
//
// The package keeps no state but what a [Queue] has, logs nothing and decides
// nothing for its user.
package wq
