package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/unite-hub/berth"
)

// CanonicalTime is how Canonical writes a time.
const CanonicalTime = "2006-01-02T15:04:05.000000Z"

// Canonical appends a value of a kind to dst: what two databases keep of the
// same value is the same text. v is what a driver reads: int64, float64, bool,
// string, or bytes; text of a number is a number. A bool may be 0 or 1, scopes
// the bits of a berth.Scopes.
func Canonical(dst []byte, k Kind, v any) ([]byte, error) {
	switch k {
	case KindText:
		if s, ok := v.(string); ok {
			return append(dst, clean(s)...), nil
		}
	case KindExact:
		s, ok := v.(string)
		if ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			return dst, fmt.Errorf("the text %s can't be kept as it is", berth.Quote(s))
		}
		if ok {
			return append(dst, s...), nil
		}
	case KindTime:
		if s, ok := v.(string); ok && len(s) == len(CanonicalTime) && s[len(s)-1] == 'Z' {
			return append(dst, s...), nil
		}
	case KindBytes:
		if b, ok := v.([]byte); ok {
			return hex.AppendEncode(dst, b), nil
		}
	case KindJSON:
		if s, ok := v.(string); ok {
			return canonicalJSON(dst, s)
		}
	default:
		return canonicalNumber(dst, k, v)
	}
	return dst, fmt.Errorf("a column of kind %s holds %T", k, v)
}

func canonicalNumber(dst []byte, k Kind, v any) ([]byte, error) {
	switch n := v.(type) {
	case int64:
		switch k {
		case KindInt:
			return strconv.AppendInt(dst, n, 10), nil
		case KindCenti:
			return append(strconv.AppendInt(dst, n, 10), ".00"...), nil
		case KindFlag:
			return strconv.AppendBool(dst, n != 0), nil
		case KindScopes:
			return append(dst, strings.Join(berth.Scopes(n).Names(), " ")...), nil
		}
	case float64:
		if k == KindCenti {
			return hundredths(dst, strconv.FormatFloat(n, 'f', -1, 64))
		}
	case bool:
		if k == KindFlag {
			return strconv.AppendBool(dst, n), nil
		}
	case string:
		switch k {
		case KindCenti:
			return hundredths(dst, n)
		case KindScopes:
			s, err := berth.ParseScopes(strings.Fields(n))
			return append(dst, strings.Join(s.Names(), " ")...), err
		}
	}
	return dst, fmt.Errorf("a column of kind %s holds %T", k, v)
}

// hundredths rounds a decimal, half away from zero, as PostgreSQL does.
func hundredths(dst []byte, decimal string) ([]byte, error) {
	if point := len(decimal) - 3; point > 0 && decimal[point] == '.' && decimal[0] != '-' {
		return append(dst, decimal...), nil // as most are
	}
	r, ok := new(big.Rat).SetString(decimal)
	if !ok {
		return dst, fmt.Errorf("%s is no number", berth.Quote(decimal))
	}
	text := r.FloatString(2)
	if text == "-0.00" {
		text = "0.00"
	}
	return append(dst, text...), nil
}

// clean makes text that every database takes.
func clean(s string) string {
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func canonicalJSON(dst []byte, s string) ([]byte, error) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return dst, err
	}
	v, err := plain(v)
	if err != nil {
		return dst, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // names sorted
		return dst, err
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), nil
}

// plain writes the numbers in v in one way, and its text without NUL.
func plain(v any) (_ any, err error) {
	switch v := v.(type) {
	case json.Number:
		return plainNumber(v)
	case string:
		return clean(v), nil
	case []any:
		for i := range v {
			if v[i], err = plain(v[i]); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, value := range v {
			if m[clean(name)], err = plain(value); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
	return v, nil
}

func plainNumber(n json.Number) (json.Number, error) {
	text := n.String()
	if !strings.ContainsAny(text, ".eE") {
		return n, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil { // before a huge exponent is written out
		return n, err
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return n, fmt.Errorf("%s is no number", berth.Quote(text))
	}
	digits, _ := r.FloatPrec()
	return json.Number(r.FloatString(digits)), nil
}
