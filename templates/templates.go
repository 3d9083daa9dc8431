// Package templates holds the projects that the platform's own command writes: what
// `platform init` begins with, and the two versions of the demo. README.md beside it says
// how their files are made.
package templates

import "embed"

// FS holds a folder for each project: xgboost, sklearn, python and custom. Each has
// platform.yaml, train.py, requirements.txt, tests/, the files of two CI systems and README.md.
// xgboost alone has what its train.py makes: model/ in MLflow's format, golden.jsonl and
// holdout.csv. The folder demo has holdout.csv, and in v1 and v2 a weaker and a better model/
// with its golden.jsonl.
//
//go:embed all:xgboost all:sklearn all:python all:custom all:demo
var FS embed.FS
