// SPDX-License-Identifier: MIT

// Package monitor watches the filesystems of a machine and tells of their
// errors: it is the engine of `wqfan monitor`.
//
// One goroutine per channel reads and never waits for anybody else: it counts
// each event in the metrics and offers it to bounded queues, one for the output
// and one for the hook. What a full queue cannot take is dropped, counted and
// said. Another goroutine follows the mounts that come and go.
//
// Its memory does not depend on how many errors there were: `make soak` has it
// live through ten million of them on either backend, and docs/soak.txt says
// how it fared.
package monitor
