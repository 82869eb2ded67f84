package capturetest

import "math/bits"

// pcg is the generator PCG-XSL-RR 128/64 of https://www.pcg-random.org: equal seeds
// give equal numbers with every version of Go, on every machine.
type pcg struct{ hi, lo uint64 }

func newPCG(seed uint64) pcg {
	p := pcg{hi: seed, lo: 0x853c49e6748fea9b}
	p.next()
	return p
}

// next returns 64 random bits.
func (p *pcg) next() uint64 {
	const (
		mulHi, mulLo = 2549297995355413924, 4865540595714422341
		addHi, addLo = 6364136223846793005, 1442695040888963407
	)
	hi, lo := bits.Mul64(p.lo, mulLo)
	hi += p.hi*mulLo + p.lo*mulHi
	lo, carry := bits.Add64(lo, addLo, 0)
	hi, _ = bits.Add64(hi, addHi, carry)
	p.hi, p.lo = hi, lo
	return bits.RotateLeft64(hi^lo, -int(hi>>58))
}

// below returns a number from 0 to n-1.
func (p *pcg) below(n int) int {
	hi, _ := bits.Mul64(p.next(), uint64(n))
	return int(hi)
}

// in returns a number from low to high-1.
func (p *pcg) in(low, high int) int { return low + p.below(high-low) }

// chance is true in so many of a million cases.
func (p *pcg) chance(perMillion int) bool { return p.below(1e6) < perMillion }

// scatter returns a number that looks random and depends on n alone.
func scatter(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// ranks draws numbers from 0 to n-1, of which number k comes up in proportion to
// 1/(k+flat), as the popularity of names does (Zipf's law).
type ranks struct{ upTo []uint64 }

func newRanks(n, flat int) ranks {
	r := ranks{upTo: make([]uint64, n)}
	total := uint64(0)
	for k := range r.upTo {
		total += 1 << 40 / uint64(k+flat)
		r.upTo[k] = total
	}
	return r
}

func (r ranks) draw(p *pcg) int {
	x, _ := bits.Mul64(p.next(), r.upTo[len(r.upTo)-1])
	low, high := 0, len(r.upTo)-1
	for low < high {
		middle := (low + high) / 2
		if r.upTo[middle] > x {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}
