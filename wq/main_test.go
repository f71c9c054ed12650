// SPDX-License-Identifier: MIT

package wq

import (
	"testing"

	"wqfan/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
