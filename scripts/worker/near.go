package worker

import (
	"strings"

	"larkspur/engine"
)

// didYouMean is a hint for a name that does not exist, naming the nearest of
// those that do, or all when they are few.
func didYouMean(name string, candidates []string) string {
	if near := engine.Nearest(name, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	if len(candidates) > 0 && len(candidates) <= 20 {
		return "there is " + strings.Join(candidates, ", ")
	}
	return ""
}
