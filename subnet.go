package berth

import "net/netip"

// SubnetBits is the size of a tenant's network: a /28 holds 13 instances
// beside its gateway.
const SubnetBits = 28

// DefaultPool is where tenants' subnets are taken from: outside what Docker
// hands out by itself, and wide enough for 65,536 tenants.
func DefaultPool() netip.Prefix { return netip.MustParsePrefix("10.64.0.0/12") }

// FreeSubnet returns the lowest /28 of pool that overlaps nothing in taken,
// which may be in any order.
func FreeSubnet(pool netip.Prefix, taken []netip.Prefix) (netip.Prefix, error) {
	// The /28s that are taken, and the wider networks that cover many.
	small := make(map[netip.Addr]bool, len(taken))
	var wide []netip.Prefix
	for _, p := range taken {
		if p = p.Masked(); !p.Addr().Is4() || !p.Overlaps(pool) {
			continue
		}
		if p.Bits() >= SubnetBits {
			small[netip.PrefixFrom(p.Addr(), SubnetBits).Masked().Addr()] = true
		} else {
			wide = append(wide, p)
		}
	}
	for addr := pool.Masked().Addr(); pool.Contains(addr); {
		next := netip.PrefixFrom(addr, SubnetBits)
		if cover, ok := covering(wide, next); ok {
			addr = after(cover)
			continue
		}
		if !small[addr] {
			return next, nil
		}
		addr = after(next)
	}
	return netip.Prefix{}, Errorf(CodeNoSubnets, "No free subnet in %s", pool).
		WithHint("deprovision a tenant, or serve with a wider --pool")
}

func covering(wide []netip.Prefix, p netip.Prefix) (netip.Prefix, bool) {
	for _, w := range wide {
		if w.Overlaps(p) {
			return w, true
		}
	}
	return netip.Prefix{}, false
}

// after returns the first address behind p; the zero Addr behind the last.
func after(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	step := uint64(1) << (32 - p.Bits())
	n := uint64(a[0])<<24 | uint64(a[1])<<16 | uint64(a[2])<<8 | uint64(a[3])
	if n += step; n > 0xffffffff {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
