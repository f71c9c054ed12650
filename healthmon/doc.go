// SPDX-License-Identifier: MIT

// Package healthmon reads filesystem errors from the XFS health monitor, in
// Linux since 7.0.
//
// [Open] attaches a monitor to one mounted XFS, [Monitor.Read] returns its news
// in batches as [fserr.Event]. [Decode] is the parser alone, for those who have
// the bytes from elsewhere, and [Parse] all that a record says.
//
// # What the health monitor says about an error
//
// Which piece of metadata is sick, in XFS's own terms, or which range of which
// file could not be read or written, and with which error; when, by the wall
// clock. Metadata has no error number: XFS calls all of it EFSCORRUPTED.
//
// The queue holds 512 events. An event like the last one in the queue is merged
// with it and counted nowhere. What finds the queue full is lost, and how many
// that were is told exactly: kind Lost. The kernel queues that record with the
// next event that finds room, so a loss that nothing follows shows only in
// [Monitor.Stats].
//
// A mount has one monitor at a time: xfs_healer(8) and this package exclude each
// other.
//
// The package keeps no state but what a [Monitor] has, logs nothing and decides
// nothing for its user.
package healthmon
