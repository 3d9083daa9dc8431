package lightgbm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// document is what a model file says, in its own terms, before anything is believed.
type document struct {
	header     map[string]string
	average    bool // the mean of the iterations is taken, not their sum
	trees      []rawTree
	categories int // columns of a data frame whose categories have names
}

// rawTree is one tree: arrays with an entry for each split, or for each leaf.
type rawTree struct {
	leaves, sets int
	linear       bool
	left, right  []int32 // a split, or the complement of a leaf
	feature      []int32
	decision     []int32
	threshold    []float64
	value        []float64 // of leaves
	setBounds    []int32   // where the words of each set begin, and the end
	setWords     []uint32
	constant     []float64 // of linear leaves
	terms        []int32   // how many each leaf has
	termFeature  []int32
	termFactor   []float64
	seen         map[string]bool
}

// lines reads a text line by line.
type lines struct {
	rest   []byte
	number int
}

func (l *lines) next() (line []byte, ok bool) {
	if len(l.rest) == 0 {
		return nil, false
	}
	line, l.rest, _ = bytes.Cut(l.rest, []byte("\n"))
	l.number++
	return bytes.TrimSuffix(line, []byte("\r")), true
}

var (
	errShort  = errors.New("the file ends early")
	errBudget = errors.New("the model is larger than is supported")
)

// parse reads a model file (GBDT::LoadModelFromString in LightGBM's gbdt_model_text.cpp).
func parse(b []byte) (*document, error) {
	l := &lines{rest: b}
	if first, _ := l.next(); string(first) != "tree" {
		return nil, errors.New("no text file of a LightGBM Booster")
	}
	d := &document{header: map[string]string{}}
	line, err := d.readHeader(l)
	for err == nil && bytes.HasPrefix(line, []byte("Tree=")) {
		if len(d.trees) == maxTrees {
			return nil, fmt.Errorf("more than %d trees", maxTrees)
		}
		var t rawTree
		if t, err = readTree(l); err != nil {
			return nil, fmt.Errorf("tree %d: line %d: %w", len(d.trees), l.number, err)
		}
		d.trees = append(d.trees, t)
		if line, err = l.filled(); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	if string(line) != "end of trees" {
		return nil, fmt.Errorf("line %d: neither a tree nor their end", l.number)
	}
	if sizes, ok := d.header["tree_sizes"]; ok && words(sizes) != len(d.trees) {
		return nil, fmt.Errorf("tree_sizes: not one for each of %d trees", len(d.trees))
	}
	return d, d.readCategories(l.rest)
}

// filled is the next line that is not empty.
func (l *lines) filled() ([]byte, error) {
	for {
		line, ok := l.next()
		if !ok {
			return nil, errShort
		}
		if len(line) > 0 {
			return line, nil
		}
	}
}

// readHeader reads up to the first line after the header.
func (d *document) readHeader(l *lines) ([]byte, error) {
	for {
		line, err := l.filled()
		if err != nil {
			return nil, err
		}
		key, value, pair := strings.Cut(string(line), "=")
		switch {
		case key == "Tree" && pair, key == "end of trees":
			return line, nil
		case !pair:
			d.average = d.average || key == "average_output"
		case d.header[key] != "":
			return nil, fmt.Errorf("%.40s: given twice", key)
		case len(d.header) == maxHeader:
			return nil, fmt.Errorf("more than %d members", maxHeader)
		default:
			d.header[key] = value
		}
	}
}

// readCategories finds what the Python package appends: the names of the categories of each
// categorical column of the training data, if that was a data frame.
func (d *document) readCategories(rest []byte) error {
	const key = "\npandas_categorical:"
	at := bytes.LastIndex(rest, []byte(key))
	if at < 0 {
		return nil
	}
	var columns []json.RawMessage
	if err := json.Unmarshal(rest[at+len(key):], &columns); err != nil {
		return errors.New("pandas_categorical: no JSON list")
	}
	d.categories = len(columns)
	return nil
}

// whole reads a number of the header within [least, most].
func (d *document) whole(key string, least, most int) (int, error) {
	n, err := strconv.Atoi(d.header[key])
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s: no whole number from %d to %d", key, least, most)
	}
	return n, nil
}

// readTree reads one tree, which an empty line ends.
func readTree(l *lines) (t rawTree, err error) {
	t.seen = map[string]bool{}
	for {
		line, ok := l.next()
		if !ok {
			return t, errShort
		}
		if len(line) == 0 {
			t.seen = nil
			return t, t.check()
		}
		key, value, pair := bytes.Cut(line, []byte("="))
		if !pair {
			return t, errors.New("no pair of a name and a value")
		}
		if err := t.member(string(key), value); err != nil {
			return t, fmt.Errorf("%.40s: %w", key, err)
		}
	}
}

// member takes one line of a tree. What does not matter to predictions is passed over.
func (t *rawTree) member(key string, value []byte) (err error) {
	if t.seen[key] {
		return errors.New("given twice")
	}
	switch key {
	case "num_leaves":
		t.leaves, err = number(value, 1, maxNodes)
	case "num_cat":
		t.sets, err = number(value, 0, maxNodes)
	case "is_linear":
		var is int
		is, err = number(value, 0, 1)
		t.linear = is == 1
	case "left_child":
		t.left, err = ints[int32](value, math.MinInt32, math.MaxInt32)
	case "right_child":
		t.right, err = ints[int32](value, math.MinInt32, math.MaxInt32)
	case "split_feature":
		t.feature, err = ints[int32](value, 0, math.MaxInt32)
	case "decision_type":
		t.decision, err = ints[int32](value, 0, math.MaxInt8)
	case "threshold":
		t.threshold, err = floats(value, true)
	case "leaf_value":
		t.value, err = floats(value, false)
	case "cat_boundaries":
		t.setBounds, err = ints[int32](value, 0, math.MaxInt32)
	case "cat_threshold":
		t.setWords, err = ints[uint32](value, 0, math.MaxUint32)
	case "leaf_const":
		t.constant, err = floats(value, false)
	case "num_features":
		t.terms, err = ints[int32](value, 0, maxNodes)
	case "leaf_features":
		t.termFeature, err = ints[int32](value, 0, math.MaxInt32)
	case "leaf_coeff":
		t.termFactor, err = floats(value, false)
	default:
		return nil
	}
	t.seen[key] = true
	return err
}

// number reads one whole number.
func number(b []byte, least, most int64) (int, error) {
	n, err := ints[int64](b, least, most)
	if err != nil || len(n) != 1 {
		return 0, fmt.Errorf("no whole number from %d to %d", least, most)
	}
	return int(n[0]), nil
}

// ints reads numbers between spaces.
func ints[T int32 | uint32 | int64](b []byte, least, most int64) (out []T, err error) {
	for b = bytes.TrimLeft(b, " "); len(b) > 0; b = bytes.TrimLeft(b, " ") {
		var token []byte
		token, b, _ = bytes.Cut(b, []byte(" "))
		v, err := strconv.ParseInt(string(token), 10, 64)
		if err != nil || v < least || v > most {
			return nil, fmt.Errorf("[%d]: no whole number from %d to %d", len(out), least, most)
		}
		out = append(out, T(v))
	}
	return out, nil
}

// floats reads decimals between spaces, and an infinite one where a split only tells missing
// values from others.
func floats(b []byte, infinite bool) (out []float64, err error) {
	for b = bytes.TrimLeft(b, " "); len(b) > 0; b = bytes.TrimLeft(b, " ") {
		var token []byte
		token, b, _ = bytes.Cut(b, []byte(" "))
		switch string(token) {
		case "inf":
			out = append(out, math.Inf(1))
		case "-inf":
			out = append(out, math.Inf(-1))
		default:
			v, err := strconv.ParseFloat(string(token), 64)
			if err != nil || bytes.ContainsAny(token, "xX_nN") { // what only Go takes for a number
				return nil, fmt.Errorf("[%d]: no number", len(out))
			}
			out = append(out, v)
		}
		if v := out[len(out)-1]; v-v != 0 && !infinite {
			return nil, fmt.Errorf("[%d]: not finite", len(out)-1)
		}
	}
	return out, nil
}
