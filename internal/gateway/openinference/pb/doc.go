// Package pb is the messages of the Open Inference Protocol over gRPC, generated from
// openinference.proto by `make proto`.
package pb
