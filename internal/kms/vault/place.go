package vault

import (
	"net/url"
	"strings"
)

// cut splits PATH#KEY; each part of the path is escaped.
func cut(place string) (path, key string, ok bool) {
	path, key, ok = strings.Cut(place, "#")
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if p == "" || p == "." || p == ".." {
			return "", "", false
		}
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/"), key, ok && key != ""
}
