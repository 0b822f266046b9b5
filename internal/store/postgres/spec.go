package postgres

import (
	"bytes"
	"encoding/json"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

// spec reads a spec column.
func spec(dst *berth.Spec) any {
	return column[string, berth.Spec]{dst, row.ParseSpec}
}

// specOrNil reads a spec column that may be NULL.
func specOrNil(dst **berth.Spec) any {
	return column[string, *berth.Spec]{dst, row.ParseSpecOrNil}
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
	return column[string, []berth.DeploymentStep]{dst, row.ParseSteps}
}

// names reads a column that maps names to text. The map is never nil.
func names(dst *map[string]string) any {
	return column[string, map[string]string]{dst, row.ParseNames}
}

// encodeJSON encodes maps in key order. A NUL, which JSON can escape and jsonb
// can't hold, becomes the replacement character, as in text.
func encodeJSON(v any) (string, error) {
	data, err := json.Marshal(v)
	if !bytes.Contains(data, []byte(`\u0000`)) {
		return string(data), err
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(data[i:], []byte(`\u0000`)) {
			copy(data[i:], `\ufffd`)
		}
		i++ // what a backslash escapes begins nothing
	}
	return string(data), err
}
