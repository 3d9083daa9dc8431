package pyenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// FindUV finds the program uv: beside the platform's own executable, where pip puts both,
// else on the PATH. It is empty when there is none.
func FindUV(exe string) string {
	beside := filepath.Join(filepath.Dir(exe), "uv")
	if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
		return beside
	}
	path, err := exec.LookPath("uv")
	if err != nil {
		return ""
	}
	return path
}

// uvEnv is the part of an environment that uv sees: how to reach the index, and where its
// cache is. Settings of pip count where uv has none of its own.
func uvEnv(env []string) []string {
	given := map[string]string{}
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			given[k] = v
		}
	}
	out := []string{"UV_NO_PROGRESS=1", "NO_COLOR=1"}
	if given["UV_PYTHON_DOWNLOADS"] == "" {
		out = append(out, "UV_PYTHON_DOWNLOADS=never")
	}
	for _, kv := range env {
		k, _, _ := strings.Cut(kv, "=")
		switch strings.ToUpper(k) {
		case "PATH", "HOME", "LANG", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
			"XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "NETRC":
			out = append(out, kv)
		default:
			if strings.HasPrefix(k, "UV_") && k != "UV_NO_PROGRESS" {
				out = append(out, kv)
			}
		}
	}
	for _, t := range []struct{ pip, uv, old string }{
		{"PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"},
		{"PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"},
		{"PIP_FIND_LINKS", "UV_FIND_LINKS", ""},
		{"PIP_CERT", "SSL_CERT_FILE", ""},
	} {
		v := given[t.pip]
		if v == "" || given[t.uv] != "" || given[t.old] != "" {
			continue
		}
		if t.uv == "UV_FIND_LINKS" { // pip separates by spaces, uv by commas
			v = strings.Join(strings.Fields(v), ",")
		}
		out = append(out, t.uv+"="+v)
	}
	return out
}
