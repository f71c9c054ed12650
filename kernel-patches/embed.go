// SPDX-License-Identifier: MIT

// Package patches carries the kernel series and its configuration inside the
// wqfan binary, so that it builds its kernel outside a checkout too. The files
// are data to this package; their licence is GPL-2.0, as each of them says.
package patches

import "embed"

// FS holds the *.patch files, in series order by name, and config/*.config.
//
//go:embed *.patch config/*.config
var FS embed.FS
