//go:build soak

package eprocess

// Add records requests that have their outcomes already: hours of traffic in seconds.
func (j *Judge) Add(index int64, rho float64, arm Arm, c Counts) {
	b := j.newest(index)
	b.cells[b.cell(rho)].counts[arm].add(c)
}
