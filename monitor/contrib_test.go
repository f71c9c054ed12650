// SPDX-License-Identifier: MIT

package monitor

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What contrib/ asks of the metrics must be among them.
func TestContribMetrics(t *testing.T) {
	families, err := busy().Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, f := range families {
		have = append(have, f.GetName(), f.GetName()+"_bucket")
	}
	name := regexp.MustCompile(`\bwqfan_\w+`)
	for _, file := range []string{"../contrib/wqfan.rules.yml", "../contrib/wqfan.rules_test.yml", "../contrib/grafana-dashboard.json"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		used := name.FindAllString(string(b), -1)
		if len(used) == 0 {
			t.Errorf("%s uses none", file)
		}
		for _, u := range used {
			if !slices.Contains(have, u) {
				t.Errorf("%s: there is no metric %s", file, u)
			}
		}
	}
}

// Each panel of the dashboard asks something, and each metric of ours is shown.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../contrib/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	rules := "groups: [{name: dashboard, rules: ["
	for _, p := range board.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, q := range p.Targets {
			all.WriteString(q.Expr + "\n")
			expr := strings.NewReplacer("$__range", "1h", "$__rate_interval", "5m").Replace(q.Expr)
			quoted, _ := json.Marshal(expr)
			rules += `{record: "a:b", expr: ` + string(quoted) + "},"
		}
	}
	families, err := busy().Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "wqfan_") && !strings.Contains(all.String(), f.GetName()) {
			t.Errorf("no panel shows %s", f.GetName())
		}
	}
	file := t.TempDir() + "/rules.yml"
	if err := os.WriteFile(file, []byte(rules+"]}]\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "check", "rules", "--lint=none", file)
}

func TestRules(t *testing.T) {
	promtool(t, nil, "check", "rules", "../contrib/wqfan.rules.yml")
	promtool(t, nil, "test", "rules", "../contrib/wqfan.rules_test.yml")
}

// The unit is one that systemd understands, and no loose one.
func TestUnit(t *testing.T) {
	b, err := os.ReadFile("../contrib/wqfan-monitor.service")
	if err != nil {
		t.Fatal(err)
	}
	caps := "CAP_SYS_ADMIN CAP_DAC_READ_SEARCH"
	for _, want := range []string{"Type=notify\n", "WatchdogSec=", "AmbientCapabilities=" + caps + "\n", "CapabilityBoundingSet=" + caps + "\n"} {
		if !strings.Contains(string(b), "\n"+want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	// verify wants the program to exist.
	file := t.TempDir() + "/wqfan-monitor.service"
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), "/usr/local/bin/wqfan", "/bin/true", 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), file) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=30", file).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
