package flat

import "errors"

// sketch is a tree on its way into a forest: its nodes level by level, siblings side by side.
type sketch struct {
	nodes       []sketched
	steps       uint16 // of the longest path
	leaves      int
	categorical bool
}

type sketched struct {
	Node
	name  int32
	child uint32 // the left one's index
	steps uint16 // from the root
	path  uint32 // of a full tree: the turns to it, bit by bit
}

const maxSteps = 1 << 15

// sketchOf follows a graph from its root.
func sketchOf(limit int, look func(name int32) (Node, error)) (*sketch, error) {
	s := &sketch{nodes: []sketched{{}}}
	for i := 0; i < len(s.nodes); i++ {
		name, steps := s.nodes[i].name, s.nodes[i].steps
		n, err := look(name)
		if err != nil {
			return nil, err
		}
		s.nodes[i].Node = n
		if n.Leaf {
			s.leaves++
			s.steps = max(s.steps, steps)
			continue
		}
		// A graph with a cycle, or with a node under two parents, is found here: it reaches
		// more nodes than it has.
		if len(s.nodes)+2 > limit {
			return nil, errors.New("a node is reached twice")
		}
		if steps == maxSteps {
			return nil, errors.New("the tree is too deep")
		}
		s.nodes[i].child = uint32(len(s.nodes))
		s.categorical = s.categorical || n.As >= CategoryLeft
		s.nodes = append(s.nodes, sketched{name: n.Left, steps: steps + 1}, sketched{name: n.Right, steps: steps + 1})
	}
	return s, nil
}
