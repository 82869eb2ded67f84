package pure

import (
	"fmt"
	"math"
	"math/big"
	"strconv"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// isInstance knows Python's names of types (int, str, …) and the strings that
// type() returns, alone or in a tuple or list.
func isInstance(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, types starlark.Value
	if err := starlark.UnpackPositionalArgs("isinstance", args, kwargs, 2, &x, &types); err != nil {
		return nil, err
	}
	list, ok := types.(starlark.Indexable)
	if _, text := types.(starlark.String); text || !ok {
		list = starlark.Tuple{types}
	}
	for i := range list.Len() {
		name, err := typeName(list.Index(i))
		if err != nil {
			return nil, err
		}
		if name == x.Type() {
			return starlark.True, nil
		}
	}
	return starlark.False, nil
}

func typeName(v starlark.Value) (string, error) {
	name := ""
	switch v := v.(type) {
	case starlark.String:
		name = string(v)
	case *starlark.Builtin:
		name = v.Name()
	default:
		return "", fmt.Errorf(`isinstance: got %s, want a type like int or str, or its name like "duration"`, v.Type())
	}
	switch name {
	case "str":
		return "string", nil
	case "None":
		return "NoneType", nil
	}
	return name, nil
}

func sum(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var items starlark.Iterable
	var total starlark.Value = starlark.MakeInt(0)
	if err := starlark.UnpackArgs("sum", args, kwargs, "items", &items, "start?", &total); err != nil {
		return nil, err
	}
	start := len(args) + len(kwargs)
	it := items.Iterate()
	defer it.Done()
	var x starlark.Value
	for first := true; it.Next(&x); first = false {
		if _, isDuration := x.(Duration); isDuration && first && start == 1 {
			total = x // durations have no common zero with numbers
			continue
		}
		next, err := starlark.Binary(syntax.PLUS, total, x)
		if err != nil {
			return nil, fmt.Errorf("sum: %w", err)
		}
		total = next
	}
	return total, nil
}

// round is Python's: halves go to the even neighbour, and without a number of
// digits the result is an int.
func round(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, digits starlark.Value
	if err := starlark.UnpackArgs("round", args, kwargs, "x", &x, "digits??", &digits); err != nil {
		return nil, err
	}
	n := 0
	if digits != nil {
		if err := starlark.AsInt(digits, &n); err != nil || n < -400 || n > 400 {
			return nil, fmt.Errorf("round: digits: got %s, want a small int", digits)
		}
	}
	switch x := x.(type) {
	case starlark.Int:
		return roundInt(x, n), nil
	case starlark.Float:
		f := float64(x)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("round: got %s, want a finite number", x)
		}
		if digits == nil {
			return starlark.NumberToInt(starlark.Float(math.RoundToEven(f)))
		}
		return starlark.Float(roundFloat(f, n)), nil
	}
	return nil, fmt.Errorf("round: got %s, want a number", x.Type())
}

func roundFloat(f float64, digits int) float64 {
	if digits < 0 {
		unit := math.Pow(10, float64(-digits))
		return math.RoundToEven(f/unit) * unit
	}
	f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64)
	return f
}

func roundInt(x starlark.Int, digits int) starlark.Value {
	if digits >= 0 {
		return x
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-digits)), nil)
	quotient, rest := new(big.Int).DivMod(x.BigInt(), unit, new(big.Int)) // rest ≥ 0
	switch rest.Lsh(rest, 1).Cmp(unit) {
	case 1:
		quotient.Add(quotient, big.NewInt(1))
	case 0:
		quotient.Add(quotient, big.NewInt(int64(quotient.Bit(0))))
	}
	return starlark.MakeBigInt(quotient.Mul(quotient, unit))
}
