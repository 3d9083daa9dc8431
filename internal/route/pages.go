package route

import "strings"

// Pages are the paths at the public address that lead to the server's pages, on which people
// sign in. What ends in a slash is all below it.
var Pages = []string{"/login", "/login/", "/enrol", "/enrol/", "/device", "/account", "/account/", "/logout", "/step-up", "/sso/", "/oauth/", "/signin.css"}

// IsPage says whether a path is one of Pages.
func IsPage(path string) bool {
	for _, p := range Pages {
		if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}
