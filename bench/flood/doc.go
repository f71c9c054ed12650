// SPDX-License-Identifier: MIT

// Package flood makes filesystem errors: through the kernel series' injector,
// through ext4's own trigger, and through devices that really fail. It also
// makes the other events that share a queue with errors: opens and key
// updates.
//
// Everything here needs root, and all but the injector works on any kernel.
package flood
