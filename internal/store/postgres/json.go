package postgres

import (
	"bytes"
	"encoding/json"
)

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
