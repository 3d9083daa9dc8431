package tracking

import "testing"

func TestEachOnce(t *testing.T) {
	for in, want := range map[string]string{
		`[{"name":"a","version":1},{"name":"a","version":"1"},{"name":"b","version":"1"}]`: `[{"name": "a", "version": 1}, {"name": "b", "version": 1}]`,
		`[{"name":"a","version":1234567}]`:                                                 `[{"name": "a", "version": 1234567}]`,
		`[]`:                                                                               `[]`,
		`no list`:                                                                          `no list`,
		`{"name":"a"}`:                                                                     `{"name":"a"}`,
	} {
		if got := EachOnce(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
