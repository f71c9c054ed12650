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
// error, its class and range, when, and a sequence number, and what the filesystem
// itself has to say of it, in as many notes as that takes. Every error is a record
// of its own, nothing is merged.
//
// The queue is a ring of fixed length that posting never waits for. When it is
// full the new record is dropped, and one record says so: kind Lost. Mainline's
// has no count and comes once those before it are read; with [Config].LossCount
// there is one for each watch with an exact count, at once.
//
// # Kernels
//
// Mainline's only source are keys, [Queue.WatchKey]. The source of filesystem
// errors is the prototype in the project's kernel-patches, and so is all that goes
// beyond 512 notes, uncounted losses and filters by type. The package works with
// mainline, with any part of the series, and says which patch is missing.
//
// The package keeps no state but what a [Queue] has, logs nothing and decides
// nothing for its user.
package wq
