package listening

import (
	"net"
	"strings"
	"testing"
)

func TestExposed(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s is not to be had here: %v", address, err)
			continue
		}
		port := uint16(ln.Addr().(*net.TCPAddr).Port)
		at, ok, err := Exposed(port)
		if ok || err != nil {
			t.Errorf("%s: %v, %v", address, at, err)
		}
		ln.Close()
	}
	const table = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A\n   1: 00000000:1F91 00000000:0000 0A\n   2: 00000000:1F92 00000000:0000 01\n" +
		"   3: 00000000000000000000000000000000:1F93 00000000000000000000000000000000:0000 0A\n   4: 0000000000000000FFFF00000100007F:1F94 0:0 0A\n"
	for port, want := range map[uint16]string{8080: "", 8081: "0.0.0.0:8081", 8082: "", 8083: "[::]:8083", 8084: "", 9: ""} {
		at, ok, err := find(strings.NewReader(table), port)
		if ok != (want != "") || ok && at.String() != want || err != nil {
			t.Errorf("%d: %v %v %v, want %q", port, at, ok, err, want)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{"0100007F:1F90": "127.0.0.1:8080", "00000000:0050": "0.0.0.0:80", "00000000000000000000000001000000:0001": "[::1]:1",
		"0000000000000000FFFF00000100007F:0001": "[::ffff:127.0.0.1]:1"} {
		if at, ok := parse(text); !ok || at.String() != want {
			t.Errorf("%s: %v, want %s", text, at, want)
		}
	}
}

// FuzzFind: the table may hold anything.
func FuzzFind(f *testing.F) {
	f.Add("  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0\n", uint16(8080))
	f.Add("   0: 00000000:1F90 00000000:0000 0A 0\n", uint16(8080))
	f.Fuzz(func(t *testing.T, table string, port uint16) {
		at, ok, _ := find(strings.NewReader(table), port)
		if ok && (at.Port() != port || at.Addr().IsLoopback()) {
			t.Errorf("%v for port %d", at, port)
		}
	})
}
