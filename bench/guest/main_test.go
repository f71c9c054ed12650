// SPDX-License-Identifier: MIT

package guest

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if IsInit() {
		Main(testHandlers)
	}
	os.Exit(m.Run())
}
