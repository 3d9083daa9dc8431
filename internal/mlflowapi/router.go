package mlflowapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// router finds routes by the escaped path of a request, segment by segment: http.ServeMux
// would answer a path with ".." by a redirection, and a name with an escaped slash not at all.
type router struct {
	fixed  map[string][]*Route // by their whole path
	others []*pattern
}

// pattern is the path of a route with parameters.
type pattern struct {
	segments []string // a parameter begins with "{"
	rest     string   // the name of a parameter that takes all that follows, or empty
	routes   []*Route // of several methods
}

// prefixes are where a route of a version of the API is served: clients use the first, pages
// in a browser the second.
var prefixes = []string{"/api/%d.0", "/ajax-api/%d.0"}

func (t *router) add(r Route) {
	if r.Action == "" || r.Serve == nil {
		panic("a route without an action: " + r.Method + " " + r.Path)
	}
	if r.Major == 0 {
		t.addPath(r.Path, &r)
		return
	}
	for _, prefix := range prefixes {
		t.addPath(fmt.Sprintf(prefix, r.Major)+r.Path, &r)
	}
}

func (t *router) addPath(path string, r *Route) {
	if !strings.Contains(path, "{") {
		if t.fixed == nil {
			t.fixed = map[string][]*Route{}
		}
		t.fixed[path] = with(t.fixed[path], r)
		return
	}
	p := &pattern{segments: strings.Split(path, "/")}
	if last, ok := strings.CutSuffix(p.segments[len(p.segments)-1], "...}"); ok {
		p.rest, p.segments = last[1:], p.segments[:len(p.segments)-1]
	}
	at := slices.IndexFunc(t.others, func(q *pattern) bool { return p.rest == q.rest && slices.Equal(p.segments, q.segments) })
	if at < 0 {
		at, t.others = len(t.others), append(t.others, p)
	}
	t.others[at].routes = with(t.others[at].routes, r)
}

func with(routes []*Route, r *Route) []*Route {
	if of(routes, r.Method) != nil {
		panic("two routes for " + r.Method + " " + r.Path)
	}
	return append(routes, r)
}

// find gives the route of a request and sets its parameters; without one for the method, the
// methods that there are.
func (t *router) find(r *http.Request, path string) (*Route, []string) {
	if routes := t.fixed[path]; routes != nil {
		return choose(routes, r.Method)
	}
	segments := strings.Split(path, "/")
	var methods []string
	for _, p := range t.others {
		values, ok := p.match(segments)
		if !ok {
			continue
		}
		route, others := choose(p.routes, r.Method)
		if route == nil {
			methods = append(methods, others...)
			continue
		}
		for name, value := range values {
			r.SetPathValue(name, value)
		}
		return route, nil
	}
	return nil, methods
}

// match gives the parameters of a path. One that is not escaped as URLs are matches nothing.
func (p *pattern) match(segments []string) (map[string]string, bool) {
	if len(segments) < len(p.segments) || p.rest == "" && len(segments) > len(p.segments) {
		return nil, false
	}
	values := map[string]string{}
	for i, want := range p.segments {
		if !strings.HasPrefix(want, "{") {
			if segments[i] != want {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(segments[i])
		if err != nil || value == "" {
			return nil, false
		}
		values[want[1:len(want)-1]] = value
	}
	if p.rest == "" {
		return values, true
	}
	rest, err := url.PathUnescape(strings.Join(segments[len(p.segments):], "/"))
	values[p.rest] = rest
	return values, err == nil && rest != ""
}

func choose(routes []*Route, method string) (*Route, []string) {
	if r := of(routes, method); r != nil {
		return r, nil
	}
	var methods []string
	for _, r := range routes {
		methods = append(methods, r.Method)
	}
	return nil, methods
}

func of(routes []*Route, method string) *Route {
	for _, r := range routes {
		if r.Method == method {
			return r
		}
	}
	return nil
}
