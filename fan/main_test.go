// SPDX-License-Identifier: MIT

package fan

import (
	"testing"

	"wqfan/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
