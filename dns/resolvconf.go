package dns

import (
	"net/netip"
	"os"
	"strings"
)

// resolversMax is how many name servers a resolver uses, by resolv.conf(5).
const resolversMax = 3

func readResolvConf(path string) ([]netip.AddrPort, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseResolvConf(string(b)), nil
}

// parseResolvConf returns the name servers of a resolv.conf file.
func parseResolvConf(text string) []netip.AddrPort {
	var list []netip.AddrPort
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" || len(list) == resolversMax {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			list = append(list, netip.AddrPortFrom(a.Unmap(), 53))
		}
	}
	return list
}
