package route

import "time"

// Answered says which revision of an endpoint answered a request, to the millisecond, and
// what the client got: answered, rescued (by stable, after the candidate had failed),
// rejected or failed.
type Answered struct {
	Time     time.Time `json:"time"`
	Endpoint string    `json:"endpoint"`
	Revision string    `json:"revision"`
	Outcome  string    `json:"outcome"`
}

// Answers are those of one gateway to requests of one id, newest first. Dropped counts what it
// could not remember since it started.
type Answers struct {
	Gateway string     `json:"gateway"`
	Dropped uint64     `json:"dropped,omitempty"`
	List    []Answered `json:"list"`
}
