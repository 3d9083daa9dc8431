package mlflowimport

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
)

// integer is a whole number, which servers write as a number or as a text.
type integer int64

// UnmarshalJSON implements json.Unmarshaler.
func (i *integer) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" || text == "" {
		*i = 0
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil { // some write whole numbers as 1.7e12
		f, e := strconv.ParseFloat(text, 64)
		if e != nil || f != float64(int64(f)) {
			return slipway.Errorf(slipway.Invalid, slipway.CodeSource, "", "%.40q is no whole number", text)
		}
		n = int64(f)
	}
	*i = integer(n)
	return nil
}

// number is a measured value, as a text: NaN and infinities have no number in JSON.
type number string

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	text := string(bytes.Trim(b, `"`))
	if _, err := strconv.ParseFloat(text, 64); err != nil {
		return slipway.Errorf(slipway.Invalid, slipway.CodeSource, "", "%.40q is no number", text)
	}
	*n = number(text)
	return nil
}

// identifier is an id, which old servers write as a number.
type identifier string

// UnmarshalJSON implements json.Unmarshaler.
func (i *identifier) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		err := json.Unmarshal(b, &s)
		*i = identifier(s)
		return err
	}
	if string(b) != "null" {
		*i = identifier(b)
	}
	return nil
}

type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type experiment struct {
	ID       identifier `json:"experiment_id"`
	Name     string     `json:"name"`
	Location string     `json:"artifact_location"`
	Stage    string     `json:"lifecycle_stage"`
	Created  integer    `json:"creation_time"`
	Updated  integer    `json:"last_update_time"`
	Tags     []pair     `json:"tags"`
}

type metric struct {
	Key           string  `json:"key"`
	Value         number  `json:"value"`
	Timestamp     integer `json:"timestamp"`
	Step          integer `json:"step"`
	RunID         string  `json:"run_id"`
	ModelID       string  `json:"model_id"`
	DatasetName   string  `json:"dataset_name"`
	DatasetDigest string  `json:"dataset_digest"`
}

type run struct {
	Info struct {
		ID         string     `json:"run_id"`
		OldID      string     `json:"run_uuid"`
		Name       string     `json:"run_name"`
		Experiment identifier `json:"experiment_id"`
		User       string     `json:"user_id"`
		Status     string     `json:"status"`
		Start      integer    `json:"start_time"`
		End        integer    `json:"end_time"`
		Artifacts  string     `json:"artifact_uri"`
		Stage      string     `json:"lifecycle_stage"`
	} `json:"info"`
	Data struct {
		Metrics []metric `json:"metrics"`
		Params  []pair   `json:"params"`
		Tags    []pair   `json:"tags"`
	} `json:"data"`
	Inputs struct {
		Datasets []struct {
			Tags    []pair `json:"tags"`
			Dataset struct {
				Name       string `json:"name"`
				Digest     string `json:"digest"`
				SourceType string `json:"source_type"`
				Source     string `json:"source"`
				Schema     string `json:"schema"`
				Profile    string `json:"profile"`
			} `json:"dataset"`
		} `json:"dataset_inputs"`
		Models []struct {
			ID string `json:"model_id"`
		} `json:"model_inputs"`
	} `json:"inputs"`
	Outputs struct {
		Models []struct {
			ID   string  `json:"model_id"`
			Step integer `json:"step"`
		} `json:"model_outputs"`
	} `json:"outputs"`
}

// id is that of a run; servers before 1.0 knew it by another name.
func (r *run) id() string {
	if r.Info.ID != "" {
		return r.Info.ID
	}
	return r.Info.OldID
}

type loggedModel struct {
	Info struct {
		ID            string     `json:"model_id"`
		Experiment    identifier `json:"experiment_id"`
		Name          string     `json:"name"`
		Created       integer    `json:"creation_timestamp_ms"`
		Updated       integer    `json:"last_updated_timestamp_ms"`
		Artifacts     string     `json:"artifact_uri"`
		Status        string     `json:"status"`
		Creator       identifier `json:"creator_id"`
		Type          string     `json:"model_type"`
		Run           string     `json:"source_run_id"`
		StatusMessage string     `json:"status_message"`
		Tags          []pair     `json:"tags"`
	} `json:"info"`
	Data struct {
		Params  []pair   `json:"params"`
		Metrics []metric `json:"metrics"`
	} `json:"data"`
}

type registeredModel struct {
	Name        string  `json:"name"`
	Created     integer `json:"creation_timestamp"`
	Updated     integer `json:"last_updated_timestamp"`
	Description string  `json:"description"`
	Tags        []pair  `json:"tags"`
	Aliases     []struct {
		Alias   string     `json:"alias"`
		Version identifier `json:"version"`
	} `json:"aliases"`
}

// prompt says whether it is a prompt, by its tag.
func (m *registeredModel) prompt() bool {
	return slices.Contains(m.Tags, pair{"mlflow.prompt.is_prompt", "true"})
}

type version struct {
	Name        string     `json:"name"`
	Number      identifier `json:"version"`
	Created     integer    `json:"creation_timestamp"`
	Updated     integer    `json:"last_updated_timestamp"`
	User        string     `json:"user_id"`
	Stage       string     `json:"current_stage"`
	Description string     `json:"description"`
	Source      string     `json:"source"`
	Run         string     `json:"run_id"`
	RunLink     string     `json:"run_link"`
	Model       string     `json:"model_id"`
	Status      string     `json:"status"`
	Tags        []pair     `json:"tags"`
}

type file struct {
	Path string   `json:"path"`
	Dir  bool     `json:"is_dir"`
	Size *integer `json:"file_size"`
}
