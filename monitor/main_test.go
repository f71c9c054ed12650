// SPDX-License-Identifier: MIT

package monitor

import (
	"testing"

	"wqfan/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
