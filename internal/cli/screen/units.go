package screen

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration prints a time span with the precision a person needs.
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Age prints how long ago a time was.
func Age(now, then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	d := max(now.Sub(then), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// Size prints bytes in binary units.
func Size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.3g GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.3g MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.3g KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// count prints a number in groups of three digits.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// factor prints e to the x: evidence as betting odds.
func factor(x float64) string {
	switch {
	case math.IsNaN(x):
		return "?"
	case x > math.Log(1e6):
		return fmt.Sprintf("10^%.0f", x/math.Ln10)
	case x < math.Log(0.01):
		return "0"
	case x > math.Log(100):
		return count(uint64(math.Round(math.Exp(x))))
	default:
		return fmt.Sprintf("%.3g", math.Exp(x))
	}
}

// plural is the ending of a noun that is counted.
func plural(n uint64) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// Because is a reason as it follows a sentence, or nothing.
func Because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
