// SPDX-License-Identifier: MIT

package fserr

import (
	"fmt"
	"syscall"
)

// Class is the kind of operation that failed: enum fserror_type,
// linux/fserror.h, and enum fs_error_class, linux/watch_queue.h of the series.
type Class uint8

// The classes, in the kernel's order.
const (
	BufferedRead Class = iota
	BufferedWrite
	DirectIORead
	DirectIOWrite
	DataLost
	Metadata
)

var classNames = [...]string{
	"buffered-read", "buffered-write", "directio-read", "directio-write", "data-lost", "metadata",
}

// String returns the kernel's name of the class, without FSERR_ and in lower case.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// ParseClass is the inverse of Class.String.
func ParseClass(s string) (Class, error) {
	for i, n := range classNames {
		if n == s {
			return Class(i), nil
		}
	}
	return 0, fmt.Errorf("no error class %q: have %q", s, classNames)
}

// Errno is a positive error number as a filesystem reports it.
type Errno uint32

// Filesystems give two errors names of their own (linux/errno.h): the same
// numbers are EUCLEAN and EBADMSG elsewhere.
const (
	EFSBADCRC    Errno = 74
	EFSCORRUPTED Errno = 117
)

// The errors that filesystems and block devices report. The table is our own
// because libraries disagree about the name of 117.
var errnoNames = map[Errno]string{
	1: "EPERM", 2: "ENOENT", 4: "EINTR", 5: "EIO", 6: "ENXIO", 7: "E2BIG", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES",
	14: "EFAULT", 16: "EBUSY", 17: "EEXIST", 19: "ENODEV", 22: "EINVAL", 26: "ETXTBSY", 27: "EFBIG", 28: "ENOSPC",
	30: "EROFS", 39: "ENOTEMPTY", 52: "EBADE", 61: "ENODATA", 62: "ETIME", 67: "ENOLINK",
	EFSBADCRC: "EFSBADCRC", 75: "EOVERFLOW", 84: "EILSEQ", 95: "EOPNOTSUPP", 108: "ESHUTDOWN", 110: "ETIMEDOUT",
	116: "ESTALE", EFSCORRUPTED: "EFSCORRUPTED", 121: "EREMOTEIO", 122: "EDQUOT", 123: "ENOMEDIUM", 131: "ENOTRECOVERABLE",
}

// String returns the filesystem's name of the error, or "errno N".
func (e Errno) String() string {
	if n, ok := errnoNames[e]; ok {
		return n
	}
	return fmt.Sprintf("errno %d", uint32(e))
}

// Is makes errors.Is work against a syscall.Errno.
func (e Errno) Is(target error) bool {
	t, ok := target.(syscall.Errno)
	return ok && Errno(t) == e
}

// Error returns the error in words.
func (e Errno) Error() string { return e.String() + ": " + syscall.Errno(e).Error() }
