package oci

// Choose finds an image in an index, for the fuzz test.
var Choose = choose
