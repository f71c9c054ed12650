// SPDX-License-Identifier: MIT

package model

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func near(a, b, rel float64) bool { return math.Abs(a-b) <= rel*max(math.Abs(a), math.Abs(b), 1e-300) }

// The cases of network calculus, by hand.
func TestBurst(t *testing.T) {
	for _, tt := range []struct {
		name                string
		n                   int
		within, stall, rate float64
		want                int
	}{
		{"nothing", 0, 1, 1, 1, 0},
		{"all while the reader stands still", 1000, 10, 10, 1e9, 1000},
		{"at once", 1000, 0, 0, 1e9, 1000},
		{"faster than it drains: 1000 - 50×(10-4)", 1000, 10, 4, 50, 700},
		{"slower: what comes in the stall, 100/s × 4 s", 1000, 10, 4, 200, 400},
		{"no stall, slower than it drains", 1000, 10, 0, 200, 0},
		{"no stall, faster", 1000, 10, 0, 40, 600},
	} {
		if got := Burst(tt.n, tt.within, tt.stall, tt.rate); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// The share that may be lost makes the queue shorter by as many records, and a
// fluid that comes and is drained at those rates loses just so much in it.
func TestBurstSize(t *testing.T) {
	for _, tt := range []struct {
		name                string
		n                   int
		within, stall, rate float64
		loss                float64
		want                int
	}{
		{"nothing may be lost", 1000, 10, 4, 50, 0, 700},
		{"less than one", 1000, 10, 4, 50, 0.0009, 700},
		{"one", 1000, 10, 4, 50, 0.001, 699},
		{"as typed: 0.29 of 100", 100, 10, 10, 50, 0.29, 71},
		{"half, faster than it drains", 1000, 10, 4, 50, 0.5, 200},
		{"half, slower", 1000, 10, 4, 200, 0.25, 150},
		{"half, all while the reader stands still", 1000, 10, 10, 1e9, 0.5, 500},
		{"more than is ever queued", 1000, 10, 4, 200, 0.5, 0},
		{"the largest burst", math.MaxInt, 1, 1, 1, 0.5, math.MaxInt / 2},
	} {
		k := BurstSize(tt.n, tt.within, tt.stall, tt.rate, tt.loss)
		if k != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, k, tt.want)
		}
		if tt.n > 1000 {
			continue
		}
		var queued, lost float64
		const steps = 100_000
		for i := range steps {
			queued += float64(tt.n) / steps
			if float64(i)*tt.within/steps >= tt.stall {
				queued -= tt.rate * tt.within / steps
			}
			lost += max(0, queued-float64(k))
			queued = min(max(0, queued), float64(k))
		}
		if want := max(0, float64(Burst(tt.n, tt.within, tt.stall, tt.rate)-k)); math.Abs(lost-want) > 1 && k > 0 {
			t.Errorf("%s: %g are lost, want %g", tt.name, lost, want)
		}
	}
}

// A queue of one is Erlang's system without a waiting place, whose loss is
// rho/(1+rho) whatever the service; one of two is 1 - e^rho/(1+rho e^rho), by
// the first terms of Brun and Garcia. For larger ones their closed form is
// evaluated with 400 bits, which is enough for its cancellation.
func TestMD1K(t *testing.T) {
	for _, rho := range []float64{0.1, 0.5, 0.8, 0.95, 1, 1.2, 3} {
		if got, want := MD1K(rho, 1), rho/(1+rho); !near(got, want, 1e-12) {
			t.Errorf("rho %g, K 1: %g, want %g", rho, got, want)
		}
		if got, want := MD1K(rho, 2), 1-math.Exp(rho)/(1+rho*math.Exp(rho)); !near(got, want, 1e-12) {
			t.Errorf("rho %g, K 2: %g, want %g", rho, got, want)
		}
		for _, k := range []int{3, 5, 10, 20, 40} {
			want := closedForm(rho, k)
			if got := MD1K(rho, k); !near(got, want, 1e-9) && math.Abs(got-want) > 1e-15 {
				t.Errorf("rho %g, K %d: %g, want %g", rho, k, got, want)
			}
		}
	}
	if got := MD1K(2, 5000); !near(got, 0.5, 1e-9) {
		t.Errorf("overloaded twice: %g, want 1/2", got)
	}
	if got := MD1K(0.5, 5000); got > 1e-15 {
		t.Errorf("half loaded: %g", got)
	}
	if MD1K(0, 5) != 0 || MD1K(1, 0) != 1 {
		t.Error("no load loses, or no queue loses nothing")
	}
}

// closedForm is equation for P_N of Brun and Garcia (2000):
//
//	P = 1 - b(K-1)/(1 + rho b(K-1)), b(n) = sum k=0..n (-1)^k/k! (n-k)^k e^((n-k)rho) rho^k
func closedForm(rho float64, k int) float64 {
	const prec = 400
	f := func(v float64) *big.Float { return new(big.Float).SetPrec(prec).SetFloat64(v) }
	// e^rho as a series.
	e, term := f(1), f(1)
	for i := 1; i < 300; i++ {
		term.Mul(term, f(rho)).Quo(term, f(float64(i)))
		e.Add(e, term)
	}
	power := func(x *big.Float, n int) *big.Float {
		out := f(1)
		for range n {
			out.Mul(out, x)
		}
		return out
	}
	b, n := f(0), k-1
	fact := f(1)
	for i := 0; i <= n; i++ {
		if i > 0 {
			fact.Mul(fact, f(float64(i)))
		}
		t := power(f(float64(n-i)), i)
		if n-i == 0 && i == 0 {
			t = f(1)
		}
		t.Mul(t, power(e, n-i)).Mul(t, power(f(rho), i)).Quo(t, fact)
		if i%2 == 1 {
			t.Neg(t)
		}
		b.Add(b, t)
	}
	den := new(big.Float).SetPrec(prec).Mul(f(rho), b)
	den.Add(den, f(1))
	out, _ := new(big.Float).SetPrec(prec).Sub(f(1), new(big.Float).SetPrec(prec).Quo(b, den)).Float64()
	return out
}

// Both models agree with a simulation of what they assume.
func TestAgainstSimulation(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	t.Run("M/D/1/K", func(t *testing.T) {
		const rho, k, n = 0.9, 6, 400_000
		lost, now := 0, 0.0
		var leave []float64 // of those in the system
		for range n {
			now += rng.ExpFloat64() / rho
			for len(leave) > 0 && leave[0] <= now {
				leave = leave[1:]
			}
			switch {
			case len(leave) == k:
				lost++
			case len(leave) == 0:
				leave = append(leave, now+1)
			default:
				leave = append(leave, leave[len(leave)-1]+1)
			}
		}
		if got, want := float64(lost)/n, MD1K(rho, k); !near(got, want, 0.05) {
			t.Errorf("simulated %g, exact %g", got, want)
		}
	})
	t.Run("a flood of M/D/1/K", func(t *testing.T) {
		for _, tt := range []struct {
			rho       float64
			k, n      int
			floods    int
			allowance float64 // who is still queued in the end is taken for one who came later
		}{{0.95, 33, 20_000, 300, 0}, {1.05, 17, 5000, 1000, 0.01}, {1, 9, 100, 20_000, 0.1}} {
			var sum, sum2 float64
			for range tt.floods {
				lost, now, free := 0, 0.0, 0.0
				var leave []float64
				for range tt.n {
					now += rng.ExpFloat64() / tt.rho
					for len(leave) > 0 && leave[0] <= now {
						leave = leave[1:]
					}
					if len(leave) == tt.k {
						lost++
						continue
					}
					free = max(free, now) + 1
					leave = append(leave, free)
				}
				share := float64(lost) / float64(tt.n)
				sum, sum2 = sum+share, sum2+share*share
			}
			seen := sum / float64(tt.floods)
			spread := math.Sqrt(sum2/float64(tt.floods) - seen*seen)
			want, stdErr := MD1KFlood(tt.rho, tt.k, float64(tt.n), float64(tt.floods))
			if math.Abs(seen-want) > 4*stdErr+tt.allowance*want {
				t.Errorf("%+v: simulated %g, exact %g ± %g", tt, seen, want, stdErr)
			}
			if _, one := MD1KFlood(tt.rho, tt.k, float64(tt.n), 1); !near(spread, one, 0.15) {
				t.Errorf("%+v: floods differ by %g, want %g", tt, spread, one)
			}
		}
	})
	t.Run("a flood between looks", func(t *testing.T) {
		const rate, period, k, n, floods = 50.0, 2.0, 60, 250, 4000 // two periods and a half
		lost := 0
		for range floods {
			look, at, x := rng.Float64()*period, 0.0, 0
			for range n {
				at += rng.ExpFloat64() / rate
				for look < at {
					look, x = look+period, 0
				}
				if x++; x > k {
					lost++
				}
			}
		}
		want, stdErr := PeriodicFlood(rate, period, k, n, floods)
		if got := float64(lost) / (n * floods); math.Abs(got-want) > 4*stdErr {
			t.Errorf("simulated %g, exact %g ± %g", got, want, stdErr)
		}
	})
	t.Run("periodic", func(t *testing.T) {
		const rate, period, k, periods = 50.0, 2.0, 105, 20_000
		lost, all := 0, 0
		for range periods {
			x := 0
			for at := rng.ExpFloat64() / rate; at < period; at += rng.ExpFloat64() / rate {
				x++
			}
			all += x
			lost += max(0, x-k)
		}
		want, stdErr := Periodic(rate, period, k, periods)
		if got := float64(lost) / float64(all); math.Abs(got-want) > 4*stdErr || stdErr > want/5 {
			t.Errorf("simulated %g, exact %g ± %g", got, want, stdErr)
		}
	})
}

func TestPeriodic(t *testing.T) {
	// Without a place all is lost; E[X] of it.
	if l, _ := Periodic(3, 2, 0, 1); !near(l, 1, 1e-12) {
		t.Errorf("no place: %g", l)
	}
	// One place: E[(X-1)+] = m - 1 + e^-m.
	if l, _ := Periodic(1, 2, 1, 1); !near(l, (2-1+math.Exp(-2))/2, 1e-12) {
		t.Errorf("one place: %g", l)
	}
	if l, _ := Periodic(1e5, 1, 50_000, 1); !near(l, 0.5, 1e-6) {
		t.Errorf("half of a large mean: %g", l)
	}
	if l, _ := Periodic(0, 1, 1, 1); l != 0 {
		t.Error("no arrivals lose")
	}
}

// A size is the smallest that is enough.
func TestSizes(t *testing.T) {
	for _, loss := range []float64{1e-2, 1e-4, 1e-6} {
		k := PeriodicSize(1000, 0.3, loss)
		at, _ := Periodic(1000, 0.3, k, 1)
		below, _ := Periodic(1000, 0.3, k-1, 1)
		if at > loss || below <= loss {
			t.Errorf("loss %g: %d, which loses %g; one less loses %g", loss, k, at, below)
		}
		k = MD1KSize(0.9, loss)
		if MD1K(0.9, k) > loss || MD1K(0.9, k-1) <= loss {
			t.Errorf("loss %g: %d, which loses %g; one less loses %g", loss, k, MD1K(0.9, k), MD1K(0.9, k-1))
		}
	}
	if MD1KSize(2, 0.1) != Unreachable || MD1KSize(1.05, 0.1) == Unreachable {
		t.Error("what an overloaded reader cannot avoid")
	}
}

func TestAgrees(t *testing.T) {
	for _, tt := range []struct {
		predicted, stdErr, observed float64
		n                           uint64
		want                        bool
	}{
		{0, 0, 0, 1000, true},
		{0, 0, 0.002, 1000, true},
		{0, 0, 0.01, 1000, false},
		{0.5, 0.001, 0.51, 10_000, true},
		{0.5, 0.001, 0.52, 10_000, false},
		{0.5, 0.001, 0.7, 10_000, false},
		{0.5, 0.001, 0.3, 10_000, false},
	} {
		if got := Agrees(tt.predicted, tt.stdErr, tt.observed, tt.n); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
