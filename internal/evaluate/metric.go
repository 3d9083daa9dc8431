package evaluate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const (
	maxClasses = 1000
	maxScores  = 1 << 24 // probabilities that are kept: 128 MiB
)

// needs is what the bounded metrics compare.
type needs struct{ classes, labels, probability, numbers bool }

func (n needs) and(o needs) needs {
	return needs{n.classes || o.classes, n.labels || o.labels, n.probability || o.probability, n.numbers || o.numbers}
}

// needsOf tells what a metric compares: classes of the target with predicted labels or
// probabilities, or numbers.
func needsOf(metric string) needs {
	switch metric {
	case "roc_auc", "log_loss":
		return needs{classes: true, probability: true}
	case "rmse", "mae", "r2":
		return needs{numbers: true}
	default:
		return needs{classes: true, labels: true}
	}
}

// classes numbers class labels in the order of their appearance. Labels that are numbers
// are equal when the numbers are: 1, 1.0 and true are one class.
type classes struct {
	index map[string]int
	names []string
}

// of gives the number of a label, and false beyond the bound.
func (c *classes) of(label string) (int, bool) {
	if strings.EqualFold(label, "true") {
		label = "1"
	} else if strings.EqualFold(label, "false") {
		label = "0"
	} else if v, err := strconv.ParseFloat(label, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
		label = strconv.FormatFloat(v+0, 'g', -1, 64)
	}
	i, ok := c.index[label]
	if !ok {
		if len(c.names) == maxClasses {
			return 0, false
		}
		i = len(c.names)
		c.index[label] = i
		c.names = append(c.names, strings.Clone(label))
	}
	return i, true
}

// order sorts some classes: by value if all are numbers, else by name.
func (c *classes) order(some []int) []int {
	value := make(map[int]float64, len(some))
	for _, i := range some {
		if v, err := strconv.ParseFloat(c.names[i], 64); err == nil {
			value[i] = v
		}
	}
	return slices.SortedFunc(slices.Values(some), func(a, b int) int {
		if len(value) == len(some) {
			return cmp.Compare(value[a], value[b])
		}
		return strings.Compare(c.names[a], c.names[b])
	})
}

// truth is the target column.
type truth struct {
	needs   needs
	classes classes
	class   []int     // of each row, if classes are needed
	numbers []float64 // of each row, if numbers are needed
	whole   *whole    // of some rows: what is known of all
}

// whole is what only all rows of a file tell: the classes, and whether there are two.
type whole struct {
	present []int
	two     bool
}

// add takes one cell of the target, or says what is wrong with it.
func (t *truth) add(cell string) (wrong, next string) {
	if cell == "" {
		return "is empty", "label the row, or remove it"
	}
	if t.needs.numbers {
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return "is no finite number", "correct the cell, or bound metrics of classes such as accuracy"
		}
		t.numbers = append(t.numbers, v)
	}
	if t.needs.classes {
		i, ok := t.classes.of(cell)
		if !ok {
			return fmt.Sprintf("is one more than %d classes", maxClasses), "bound rmse, mae or r2 if the target is a number"
		}
		t.class = append(t.class, i)
	}
	return "", ""
}

// present lists the classes of the target in order.
func (t *truth) present() []int {
	var some []int
	seen := make([]bool, len(t.classes.names))
	for _, i := range t.class {
		if !seen[i] {
			seen[i] = true
			some = append(some, i)
		}
	}
	return t.classes.order(some)
}

// answers is what a model said to the rows of the target.
type answers struct {
	class       []int
	numbers     []float64
	probability []float64 // width a row
	width       int       // of the output probability, 0 without one
}

// add takes the answers to some rows, or says why they cannot be compared.
func (a *answers) add(t *truth, out *tensor.Batch) (wrong, next string) {
	p := predictOf(out)
	if q := out.Tensor(mlmodel.OutputProbability); q != nil && a.width == 0 {
		a.width = q.Len() / q.Shape[0]
	}
	if single := p.Len() == p.Shape[0]; !single && (t.needs.labels || t.needs.numbers) {
		return fmt.Sprintf("output %.80q has several values a row", p.Name), "let predict answer one value a row, or bound other metrics"
	}
	if t.needs.labels {
		for i := range p.Len() {
			label, whole := labelOf(p, i)
			if !whole {
				return fmt.Sprintf("output %.80q gives numbers, not class labels", p.Name),
					"save a classifier, whose predict gives labels, or bound roc_auc, log_loss, rmse, mae or r2"
			}
			c, ok := t.classes.of(label)
			if !ok {
				return fmt.Sprintf("output %.80q gives more than %d classes", p.Name, maxClasses), "bound rmse, mae or r2 if the target is a number"
			}
			a.class = append(a.class, c)
		}
	}
	if t.needs.numbers {
		if p.Type == tensor.Bytes {
			return fmt.Sprintf("output %.80q gives text, not numbers", p.Name), "bound metrics of classes such as accuracy"
		}
		for i := range p.Len() {
			a.numbers = append(a.numbers, p.Float(i))
		}
	}
	if t.needs.probability {
		return a.addProbability(out.Tensor(mlmodel.OutputProbability))
	}
	return "", ""
}

// labelOf prints a predicted label; whole is false for a number that is none.
func labelOf(t *tensor.Tensor, i int) (label string, whole bool) {
	switch t.Type {
	case tensor.Bytes:
		return t.Strings[i], true
	case tensor.FP32, tensor.FP64:
		v := t.Float(i)
		return strconv.FormatFloat(v, 'g', -1, 64), v == math.Trunc(v)
	default:
		return strconv.FormatInt(t.Int(i), 10), true
	}
}

func (a *answers) addProbability(p *tensor.Tensor) (wrong, next string) {
	if p == nil || p.Type != tensor.FP32 && p.Type != tensor.FP64 || len(p.Shape) > 2 {
		return "the model has no output named " + mlmodel.OutputProbability + ", which roc_auc and log_loss need",
			"save a classifier with probabilities, let a server of your own answer them, or bound other metrics"
	}
	width := p.Len() / p.Shape[0]
	if width != a.width || width == 0 {
		return "output probability changes its width", "answer one probability a row, or one for each class"
	}
	if len(a.probability)+p.Len() > maxScores {
		return fmt.Sprintf("there are more than %d probabilities to compare", maxScores), fewer
	}
	for i := range p.Len() {
		v := p.Float(i)
		if v < 0 || v > 1 {
			return "output probability gives values outside 0 to 1", "answer probabilities, not scores"
		}
		a.probability = append(a.probability, v)
	}
	return "", ""
}

// figure computes one metric, or says why it has no value.
func figure(metric string, t *truth, a *answers) (v float64, wrong, next string) {
	const both = "add rows of the other classes"
	n := needsOf(metric)
	if n.numbers {
		return regression(metric, t.numbers, a.numbers), "", ""
	}
	if metric == "accuracy" {
		return accuracy(t.class, a.class), "", ""
	}
	present := t.present()
	known := present
	if t.whole != nil {
		known = t.whole.present
	}
	if len(present) < 2 && (metric != "log_loss" || len(known) < 2) {
		return 0, "the target has one class only", both
	}
	if n.labels {
		return ofLabels(metric, t, a, known), "", ""
	}
	column := t.columns(known, a.width)
	if column == nil {
		return 0, fmt.Sprintf("the target has %d classes, output probability has a width of %d", len(known), a.width),
			"answer a probability for each class, in the order of the classes"
	}
	if metric == "log_loss" {
		return logLoss(t.class, column, a.probability, a.width), "", ""
	}
	if a.width > 2 && len(present) < a.width {
		return 0, fmt.Sprintf("the target has rows of %d of %d classes only", len(present), a.width), both
	}
	return auc(t.class, present, column, a.probability, a.width), "", ""
}

// columns gives for each class the column of its probability, or nil if they do not fit.
// One column is that of the greater of two classes. Classes 0, 1, … are columns 0, 1, …;
// others are in order.
func (t *truth) columns(present []int, width int) map[int]int {
	column := make(map[int]int, len(present))
	for i, c := range present {
		column[c] = i
	}
	if width == 1 && len(present) == 2 {
		return column
	}
	whole := true
	for _, c := range present {
		v, err := strconv.Atoi(t.classes.names[c])
		whole = whole && err == nil && v >= 0 && v < width
	}
	if whole {
		for _, c := range present {
			column[c], _ = strconv.Atoi(t.classes.names[c])
		}
		return column
	}
	if len(present) != width {
		return nil
	}
	return column
}

func accuracy(want, got []int) float64 {
	right := 0
	for i := range want {
		if want[i] == got[i] {
			right++
		}
	}
	return float64(right) / float64(len(want))
}

// ofLabels computes f1, precision and recall: of the greater class if there are two, else
// the mean over all classes that are in the target or predicted (average="macro"). Where
// a denominator is zero the value is zero. Definitions are those of sklearn.metrics.
func ofLabels(metric string, t *truth, a *answers, known []int) float64 {
	k := len(t.classes.names)
	right, wanted, given := make([]int, k), make([]int, k), make([]int, k)
	for i, c := range t.class {
		wanted[c]++
		given[a.class[i]]++
		if c == a.class[i] {
			right[c]++
		}
	}
	value := func(c int) float64 {
		top, bottom := right[c], 0
		switch metric {
		case "precision":
			bottom = given[c]
		case "recall":
			bottom = wanted[c]
		default:
			top, bottom = 2*right[c], given[c]+wanted[c]
		}
		if bottom == 0 {
			return 0
		}
		return float64(top) / float64(bottom)
	}
	sum, n := 0.0, 0
	for c := range k {
		if wanted[c]+given[c] > 0 {
			sum += value(c)
			n++
		}
	}
	two := n == 2 && a.width <= 2
	if t.whole != nil {
		two = t.whole.two
	}
	if two {
		return value(known[1])
	}
	return sum / float64(n)
}

// ofTwo tells whether a problem has two classes: in the target and predicted together.
func (t *truth) ofTwo(a *answers) bool {
	seen := make([]bool, len(t.classes.names))
	n := 0
	for _, class := range [][]int{t.class, a.class} {
		for _, c := range class {
			if !seen[c] {
				seen[c] = true
				n++
			}
		}
	}
	return n == 2 && a.width <= 2
}

// logLoss is the mean of -ln p of each row's class, p held inside [ε, 1-ε] with ε = 2⁻⁵²
// (sklearn.metrics.log_loss of float64).
func logLoss(class []int, column map[int]int, p []float64, width int) float64 {
	const eps = 0x1p-52
	sum := 0.0
	for i, c := range class {
		q := p[i*width]
		if width > 1 {
			q = p[i*width+column[c]]
		} else if column[c] == 0 {
			q = 1 - q
		}
		sum -= math.Log(min(max(q, eps), 1-eps))
	}
	return sum / float64(len(class))
}

// auc is the area under the ROC curve: of the greater class if there are two, else the
// mean over the classes, each against the rest (multi_class="ovr", average="macro").
func auc(class, present []int, column map[int]int, p []float64, width int) float64 {
	judged := present
	if width <= 2 {
		judged = present[1:]
	}
	score := make([]float64, len(class))
	positive := make([]bool, len(class))
	sum := 0.0
	for _, c := range judged {
		at := 0
		if width > 1 {
			at = column[c]
		}
		for i := range class {
			score[i], positive[i] = p[i*width+at], class[i] == c
		}
		sum += rocAUC(score, positive)
	}
	return sum / float64(len(judged))
}

// rocAUC is the share of pairs of a positive and a negative row that the scores order
// rightly, where ties count half: the Mann-Whitney U statistic over all pairs, in whole
// numbers. NaN without both kinds of rows.
func rocAUC(score []float64, positive []bool) float64 {
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(score[a], score[b]) })
	var below, positives, twice int64 // negatives of lower score; positives; 2·U
	for i := 0; i < len(order); {
		var up, down int64
		j := i
		for ; j < len(order) && score[order[j]] == score[order[i]]; j++ {
			if positive[order[j]] {
				up++
			} else {
				down++
			}
		}
		twice += up * (2*below + down)
		below += down
		positives += up
		i = j
	}
	return float64(twice) / 2 / (float64(positives) * float64(below))
}

// regression computes rmse, mae and r2 (sklearn.metrics root_mean_squared_error,
// mean_absolute_error and r2_score). r2 of a target that does not vary is 1 if every
// answer is right, else 0, and NaN of a single row.
func regression(metric string, want, got []float64) float64 {
	n := float64(len(want))
	var squares, absolute, sum float64
	for i := range want {
		d := want[i] - got[i]
		squares += d * d
		absolute += math.Abs(d)
		sum += want[i]
	}
	switch metric {
	case "rmse":
		return math.Sqrt(squares / n)
	case "mae":
		return absolute / n
	}
	mean, total := sum/n, 0.0
	for _, w := range want {
		total += (w - mean) * (w - mean)
	}
	switch {
	case len(want) < 2:
		return math.NaN()
	case total == 0 && squares == 0:
		return 1
	case total == 0:
		return 0
	}
	return 1 - squares/total
}
