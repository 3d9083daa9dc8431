package tracking

import (
	"crypto/rand"
	"fmt"
	"math/big"
)

// Names of runs and models that have none are made of these.
var (
	qualities = []string{
		"able", "amber", "ample", "apt", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "crisp", "deep", "eager", "fair", "fine", "firm", "fleet", "fond", "free",
		"fresh", "gentle", "glad", "golden", "grand", "handy", "hardy", "humble", "keen", "kind", "light", "lively", "loyal", "lucky", "mellow", "merry", "mild", "neat", "nimble", "noble",
		"open", "patient", "placid", "polite", "proud", "quick", "quiet", "rapid", "ready", "silver", "sleek", "snug", "sober", "spry", "steady", "stout", "sturdy", "sunny", "swift", "tidy",
		"true", "trusty", "upbeat", "vivid", "warm", "wise", "witty", "young", "zesty",
	}
	things = []string{
		"anchor", "auk", "barge", "bay", "beacon", "bow", "breeze", "brig", "buoy", "cape", "cat", "cod", "coot", "cove", "crab", "crane", "cutter", "deck", "dhow", "dock",
		"eel", "ferry", "fin", "fjord", "galley", "gull", "harbor", "heron", "hull", "island", "jetty", "kayak", "keel", "ketch", "kelp", "lagoon", "ling", "mast", "moor", "otter",
		"pearl", "pier", "pike", "plover", "port", "quay", "raft", "ray", "reef", "rope", "sail", "seal", "shoal", "shore", "skiff", "sloop", "sound", "spar", "squid", "stern",
		"strait", "surf", "tern", "tide", "trawl", "tug", "whale", "wharf", "yawl",
	}
)

// randomName makes a name such as "swift-tern-512".
func randomName() string {
	return fmt.Sprintf("%s-%s-%d", qualities[dice(len(qualities))], things[dice(len(things))], dice(1000))
}

func dice(n int) int64 {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand never fails on the platforms we build for
	}
	return v.Int64()
}
