// SPDX-License-Identifier: MIT

package healthmon

import (
	"testing"

	"wqfan/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
