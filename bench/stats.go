package main

import (
	"fmt"
	"slices"
	"time"
)

// sample is a list of durations of one side.
type sample []time.Duration

func (s sample) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (s sample) median() time.Duration { return s.quantile(0.5) }

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000) }

// bound says how a figure stands to the most that it may be. A quick run says
// nothing about that.
func (b *bench) bound(value, most float64) string {
	switch {
	case b.quick:
		return fmt.Sprintf("bound %g: not judged", most)
	case value <= most:
		return fmt.Sprintf("bound %g: met", most)
	case most == 0:
		return fmt.Sprintf("bound 0: missed by %g", value)
	default:
		return fmt.Sprintf("bound %g: missed by %.0f %%", most, 100*(value/most-1))
	}
}

// compare prints both sides and their ratios. Pairs are the i-th of each side,
// which ran next to each other.
func compare(what string, raw, berth sample) { compareWith("raw", what, raw, berth) }

// compareWith is compare with another side than the raw Engine API.
func compareWith(peer, what string, raw, berth sample) {
	var ratios []float64
	for i := range min(len(raw), len(berth)) {
		ratios = append(ratios, float64(berth[i])/float64(raw[i]))
	}
	slices.Sort(ratios)
	pairwise := 0.0
	if len(ratios) > 0 {
		pairwise = ratios[len(ratios)/2]
	}
	fmt.Printf("   %-34s %.2f × %s (medians), %.2f × (median of pairs)   %s %s, p95 %s; berth %s, p95 %s\n", what,
		float64(berth.median())/float64(raw.median()), peer, pairwise, peer,
		ms(raw.median()), ms(raw.quantile(.95)), ms(berth.median()), ms(berth.quantile(.95)))
}

// compareMedians prints both sides where no two samples belong together.
func compareMedians(what string, raw, berth sample) {
	fmt.Printf("   %-34s %.2f × raw (medians)   raw %s, p95 %s; berth %s, p95 %s\n", what,
		float64(berth.median())/float64(raw.median()),
		ms(raw.median()), ms(raw.quantile(.95)), ms(berth.median()), ms(berth.quantile(.95)))
}

// compareTotals prints how long each side took for whole blocks.
func compareTotals(what string, raw, berth sample) {
	sum := func(s sample) (total time.Duration) {
		for _, d := range s {
			total += d
		}
		return total
	}
	fmt.Printf("   %-34s %.2f × raw (whole blocks)   raw %s, berth %s\n", what,
		float64(sum(berth))/float64(sum(raw)), ms(sum(raw)), ms(sum(berth)))
}
