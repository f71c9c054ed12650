// SPDX-License-Identifier: MIT

package kmsg

import (
	"testing"

	"wqfan/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
