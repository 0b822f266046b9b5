package sqlite

import (
	"encoding/json"
	"fmt"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

// spec reads a spec column.
func spec(dst *berth.Spec) any {
	return column[berth.Spec]{dst, ofJSON(row.ParseSpec)}
}

// specOrNil reads a spec column that may be NULL.
func specOrNil(dst **berth.Spec) any {
	return column[*berth.Spec]{dst, ofJSON(row.ParseSpecOrNil)}
}

// encodeSteps gives nil, which is NULL, for none.
func encodeSteps(list []berth.DeploymentStep) (any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	return encodeJSON(row.NewSteps(list))
}

// steps reads a steps column.
func steps(dst *[]berth.DeploymentStep) any {
	return column[[]berth.DeploymentStep]{dst, ofJSON(row.ParseSteps)}
}

// names reads a column that maps names to text. The map is never nil.
func names(dst *map[string]string) any {
	return column[map[string]string]{dst, ofJSON(row.ParseNames)}
}

func encodeJSON(v any) (string, error) {
	data, err := json.Marshal(v) // maps are encoded in key order
	return string(data), err
}

// ofJSON makes a column's parse of one that reads JSON.
func ofJSON[T any](parse func(string) (T, error)) func(any) (T, error) {
	return func(v any) (T, error) {
		s, ok := v.(string)
		if !ok {
			return *new(T), fmt.Errorf("JSON column holds a %T", v)
		}
		return parse(s)
	}
}
