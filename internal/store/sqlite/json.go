package sqlite

import "encoding/json"

func encodeJSON(v any) (string, error) {
	data, err := json.Marshal(v) // maps are encoded in key order
	return string(data), err
}
