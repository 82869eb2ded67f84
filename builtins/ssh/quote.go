package ssh

import (
	"strconv"
	"strings"

	"larkspur/engine"
)

// commandOf reads `command`: a text for the host's shell, or a list of words.
func commandOf(v engine.Value) (string, error) {
	var command string
	switch v := v.(type) {
	case string:
		if strings.TrimSpace(v) == "" {
			return "", engine.Errorf(engine.Invalid, "command: it is empty")
		}
		command = v
	case []engine.Value:
		words, err := wordsOf(v)
		if err != nil {
			return "", err
		}
		command = quoteAll(words)
	default:
		return "", engine.Errorf(engine.Invalid, "command: want a text for the shell, or a list of words")
	}
	if strings.ContainsRune(command, 0) {
		return "", engine.Errorf(engine.Invalid, "command: it holds a zero byte, which no command can")
	}
	return command, nil
}

func wordsOf(list []engine.Value) ([]string, error) {
	words := make([]string, len(list))
	for i, v := range list {
		switch v := v.(type) {
		case string:
			words[i] = v
		case int64:
			words[i] = strconv.FormatInt(v, 10)
		default:
			return nil, engine.Errorf(engine.Invalid, "command: word %d is neither a text nor a whole number", i+1)
		}
	}
	if len(words) == 0 || words[0] == "" {
		return nil, engine.Errorf(engine.Invalid, "command: the first word, the program, is missing")
	}
	return words, nil
}

// quoteAll writes words so that a POSIX shell (XCU §2.2.2) reads just them. Every
// word is quoted, also harmless ones: a bare one could be an alias, a reserved
// word or an assignment.
func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
