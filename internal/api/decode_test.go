package api

import (
	"encoding/json"
	"testing"
)

// Whatever is sent, decode ends, and what it takes is what encoding/json takes.
func FuzzDecodeTakesNothingThatIsNotJSON(f *testing.F) {
	for _, s := range []string{"", "{}", `{"tenantName":"a"}`, `{"tenantName":"a","tenantName":"b"}`, `{"environment":{"A":"x"}}`, `[]`, `{"a":[{}]}`,
		`{"cpuLimit":1e999}`, `{"tenantName":"\ud800"}`, `{"tenantName":"\ud83d\udea2"}`, `{"start":tru`, "{\"a\":\"\x00\"}", `{"environment":{"a":"1","a":"2"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b provisionBody
		if decode(data, &b) != nil {
			return
		}
		if len(data) > 0 && len(b.TenantName)+len(b.Environment) > 0 && !json.Valid(data) {
			t.Errorf("taken: %q", data)
		}
	})
}
