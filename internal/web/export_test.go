package web

// Destination is where signing in leads.
func Destination(next string) string { return destination(next) }
