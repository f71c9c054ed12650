// SPDX-License-Identifier: MIT

// Package kmsg reads filesystem errors from the kernel's log, /dev/kmsg: what
// people scrape where nothing better is read.
//
// [Open] opens the log, [Log.Read] returns its lines as [fserr.Event]. [Parse]
// is the parser alone, for those who have the bytes from elsewhere, and
// [Line.Fault] finds the filesystem error in a line.
//
// # What the log says about an error
//
// What its author wrote for people. ext4 names device, function, line and often
// the inode; XFS the device and a function; the error number is seldom there.
// Errors that a filesystem reports to programs only (fserror_report) are not in
// the log at all, and one error can take several lines.
//
// The log is a ring that all of the kernel writes to. What is overwritten before
// it is read shows as a gap in the lines' numbers: kind Lost, with the number of
// lines, whatever they said. And most filesystems limit their rate: a line
// "callbacks suppressed" says afterwards, and only if there is another one, how
// many were never written: kind Lost too.
//
// The package keeps no state but what a [Log] has, logs nothing and decides
// nothing for its user.
package kmsg
