// SPDX-License-Identifier: MIT

// Init is the init of guests that run test binaries. It does nothing elsewhere.
package main

import (
	"fmt"
	"os"

	"wqfan/bench/guest"
)

func main() {
	if guest.IsInit() {
		guest.Main(nil)
	}
	fmt.Fprintln(os.Stderr, "init: this is the init of a wqfan guest")
	os.Exit(guest.ExitUsage)
}
