// SPDX-License-Identifier: MIT

// Package fan reads filesystem errors from fanotify: FAN_FS_ERROR, in Linux
// since 5.16.
//
// [Open] makes a group, [Group.Watch] adds a filesystem, [Group.Read] returns
// its errors in batches as [fserr.Event]. [Decode] is the parser alone, for
// those who have the bytes from elsewhere.
//
// # What fanotify says about an error
//
// Which filesystem, which file (as a handle), which error, and how many more
// like it: while an event waits in the queue, further errors of the same
// filesystem and the same reporting process are only counted in it. The first
// error is told in detail, the others are a number. No offset, no class, no
// time.
//
// The queue is bounded. When it is full, errors are dropped, also those that
// could be counted in an event that is there, and one FAN_Q_OVERFLOW event
// without a count says so: kind Lost.
//
// # Kernels
//
// The prototype in the project's kernel-patches lets a group ask for more:
// each error in detail with the filesystem's own record, errors counted when the
// queue is full, a count of what was dropped, and the errors of one file without
// privileges. The package works with mainline too and says which patch is
// missing.
//
// The package keeps no state but what a [Group] has, logs nothing and decides
// nothing for its user.
package fan
