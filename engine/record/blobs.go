package record

import (
	"slices"
	"strings"
)

// Blobs lists what a record's payload names of the blobs, each once: results and
// bundles, files on incidents, files of answers. Of an erased one it names what
// its residue does: none.
func Blobs(k Kind, payload []byte) (sums []string) {
	add := func(sum string) {
		if sum != "" && !slices.Contains(sums, sum) {
			sums = append(sums, sum)
		}
	}
	switch k {
	case StepDoneKind, BundleActivatedKind:
		Fields(payload, func(key, value []byte) bool {
			if string(key) != `"blob"` {
				return true
			}
			add(strings.Trim(string(value), `"`))
			return false
		})
	case QuestionAnsweredKind:
		if p, err := Unmarshal[QuestionAnswered](payload); err == nil {
			for _, f := range p.Files {
				add(f.SHA256)
			}
		}
	case IncidentChangedKind: // of a run of another shard
		if p, err := Unmarshal[IncidentAct](payload); err == nil && p.Attachment != nil {
			add(p.Attachment.SHA256)
		}
	}
	return sums
}
