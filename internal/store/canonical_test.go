package store_test

import (
	"math"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

func TestWhatTwoDatabasesKeepOfOneValueIsOneText(t *testing.T) {
	for _, c := range []struct {
		kind   store.Kind
		values []any
		want   string
	}{
		{store.KindText, []any{"a\x00\xffb", "a\uFFFD\uFFFDb"}, "a\uFFFD\uFFFDb"},
		{store.KindText, []any{""}, ""},
		{store.KindExact, []any{"é 🚢"}, "é 🚢"},
		{store.KindInt, []any{int64(-5)}, "-5"},
		{store.KindInt, []any{int64(math.MinInt64)}, "-9223372036854775808"},
		{store.KindCenti, []any{0.5, "0.50", "0.5"}, "0.50"},
		{store.KindCenti, []any{12.345, "12.345", "12.35"}, "12.35"},
		{store.KindCenti, []any{-0.001, 0.0, int64(0), "-0.00"}, "0.00"},
		{store.KindCenti, []any{-1.005, "-1.01"}, "-1.01"},
		{store.KindCenti, []any{int64(7), 7.0, "7"}, "7.00"},
		{store.KindCenti, []any{1234567.0}, "1234567.00"},
		{store.KindFlag, []any{true, int64(1)}, "true"},
		{store.KindFlag, []any{false, int64(0)}, "false"},
		{store.KindTime, []any{"2026-02-28T12:00:00.123456Z"}, "2026-02-28T12:00:00.123456Z"},
		{store.KindBytes, []any{[]byte{0, 255}}, "00ff"},
		{store.KindBytes, []any{[]byte{}}, ""},
		{store.KindScopes, []any{"deploy read", int64(berth.ScopeRead | berth.ScopeDeploy)}, "read deploy"},
		{store.KindScopes, []any{"", int64(0)}, ""},
		{store.KindJSON, []any{`{"b":1,"a":[1.50,2e2,-0.25,"<\u0026\u2028"]}`, `{"a": [1.5, 200, -0.250, "<&` + "\u2028" + `"], "b": 1}`}, `{"a":[1.5,200,-0.25,"<&\u2028"],"b":1}`},
		{store.KindJSON, []any{`{"a":"x","a":"\u0000"}`, `{"a":"\ufffd"}`}, `{"a":"` + "\uFFFD" + `"}`},
		{store.KindJSON, []any{`9007199254740993`}, `9007199254740993`},
		{store.KindJSON, []any{` null `}, `null`},
	} {
		for _, v := range c.values {
			got, err := store.Canonical(nil, c.kind, v)
			if err != nil || string(got) != c.want {
				t.Errorf("%s %#v: got %q, %v, want %q", c.kind, v, got, err, c.want)
			}
		}
	}
}

func TestWhatIsNotOfItsKindIsRefused(t *testing.T) {
	for _, c := range []struct {
		kind  store.Kind
		value any
	}{
		{store.KindExact, "a\x00"}, {store.KindExact, "\xff"}, {store.KindText, int64(1)}, {store.KindText, []byte("a")}, {store.KindInt, "1"}, {store.KindInt, 1.5},
		{store.KindCenti, "many"}, {store.KindCenti, math.Inf(1)}, {store.KindFlag, "true"}, {store.KindTime, "2026-02-28 12:00:00+00"}, {store.KindTime, "2026-02-28T12:00:00.123456+"},
		{store.KindBytes, "00"}, {store.KindScopes, "everything"}, {store.KindJSON, "{"}, {store.KindJSON, "1e999999999"}, {store.KindJSON, []byte("{}")}, {"", "a"},
	} {
		if got, err := store.Canonical(nil, c.kind, c.value); err == nil {
			t.Errorf("%s %#v became %q", c.kind, c.value, got)
		}
	}
}

func TestTablesComeAfterThoseThatTheyReferTo(t *testing.T) {
	seen := map[string]bool{}
	for _, table := range store.Tables() {
		for _, c := range table.Columns {
			for column, other := range map[string]string{
				"user_id": "users", "channel_id": "channels", "rollback_deployment_id": "tenant_containers", "container_id": "organizations",
			} {
				if c.Name == column && !seen[other] {
					t.Errorf("%s comes before %s", table.Name, other)
				}
			}
		}
		if seen[table.Name] {
			t.Errorf("%s is there twice", table.Name)
		}
		seen[table.Name] = true
		if len(table.Key) == 0 {
			t.Errorf("%s has no key", table.Name)
		}
	}
}
