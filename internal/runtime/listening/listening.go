// Package listening finds out where the servers of this machine listen.
package listening

import (
	"bufio"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// maxLines bounds what is read of the kernel's tables.
const maxLines = 1 << 20

// Exposed finds an address beyond loopback at which a TCP port is listened on, as the kernel
// tells it (proc_net_tcp in the kernel's documentation); ok is false if there is none.
func Exposed(port uint16) (at netip.AddrPort, ok bool, err error) {
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(table)
		if errors.Is(err, os.ErrNotExist) { // a machine without IPv6
			continue
		}
		if err != nil {
			return at, false, err
		}
		at, ok, err := find(f, port)
		f.Close()
		if ok || err != nil {
			return at, ok, err
		}
	}
	return at, false, nil
}

const listens = "0A" // the state

func find(r io.Reader, port uint16) (netip.AddrPort, bool, error) {
	s := bufio.NewScanner(io.LimitReader(r, maxLines*256))
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 4 || f[3] != listens {
			continue
		}
		at, ok := parse(f[1])
		if ok && at.Port() == port && !at.Addr().Unmap().IsLoopback() {
			return at, true, nil
		}
	}
	return netip.AddrPort{}, false, s.Err()
}

// parse reads "0100007F:1F90": words of 32 bits in the order of the machine, which is little
// endian wherever we run, then the port.
func parse(s string) (netip.AddrPort, bool) {
	address, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(address)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for w := 0; w < len(b); w += 4 {
		b[w], b[w+1], b[w+2], b[w+3] = b[w+3], b[w+2], b[w+1], b[w]
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(n)), ok
}
