// Package templates holds the projects that the platform's own command writes: what
// `platform init` begins with, and the two versions of the demo. README.md beside it says
// how their files are made.
package templates

import "embed"

// FS holds two folders. fraud is a project: model/ in MLflow's format, golden.jsonl,
// holdout.csv with the target column fraud, train.py, requirements.txt and README.md. demo
// has holdout.csv, and in v1 and v2 a weaker and a better model/ with its golden.jsonl.
//
//go:embed all:fraud all:demo
var FS embed.FS
