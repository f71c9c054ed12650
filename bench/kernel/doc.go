// SPDX-License-Identifier: MIT

// Package kernel makes the kernels that the guests boot: it finds a Linux
// source, applies the series of kernel-patches, configures, builds, and keeps
// what it built in a cache.
//
// # Source
//
// In this order: [Options.Source] (or the variable KSRC), a directory or a
// tarball; a tarball in the cache; Debian's linux-source-7.3 through apt, with
// lists, cache and state of its own, so that neither privileges nor a change to
// the system's sources are needed, while apt checks the signature; the tarball
// of WQFAN_KERNEL_URL, which must have the SHA-256 of WQFAN_KERNEL_SHA256. When
// there is no 7.3 to be had, Debian's newest 7.x on which the series applies is
// taken, and announced.
//
// # Cache
//
//	sources/  tarballs, each with a record of where it is from and its SHA-256
//	trees/    one unpacked, untouched tree for each tarball
//	images/   what was built, keyed by source, series, fragments, compiler and
//	          make's settings
//	objects/  compiled objects, where ccache is installed
//	check/    a cache like this one, of CheckBase
//	logs/     logs of builds that failed
//	tmp/      work in progress
//	locks/    one lock file for each name below trees, images and tmp
//
// The unpacked tree stays, for 1.8 GB: every further variant starts from it
// without unpacking, and checkpatch and the tests that compile the kernel's own
// samples find it there. A build works on a copy made of hard links (git apply
// replaces files, it never writes into one) and compiles outside of it, so that
// the tree stays as it was unpacked.
//
// With ccache, which is used when it is there, another series with the same
// options compiles only what includes a file that its patches change: the build
// folder lies in the source's, so that all paths are relative and the same in
// every build. Other options change a header that every object includes: there
// [BuildAll] helps, which builds several kernels in one tree, where make looks at
// each option by itself.
//
// Everything is made below tmp/ under the lock of its name and then renamed:
// what has its final name is complete. An interrupted build leaves at most a
// directory below tmp/, which the next one removes.
package kernel
