// Starts uses jsonschema and reference as compose-go does.
package main

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func main() {
	for _, draft := range []string{"http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"} {
		for _, minimum := range []any{1, "one"} {
			c := jsonschema.NewCompiler()
			err := c.AddResource("a.json", map[string]any{"$schema": draft, "type": "object", "properties": map[string]any{"n": map[string]any{"minimum": minimum}}})
			s, wrong := c.Compile("a.json")
			switch {
			case err != nil:
				fmt.Println(err)
			case wrong != nil:
				fmt.Println("refused")
			default:
				fmt.Println(s.Validate(map[string]any{"n": 1}) == nil, s.Validate(map[string]any{"n": 0}) == nil)
			}
		}
	}
	sum := "sha256:" + strings.Repeat("a", 64)
	for _, image := range []string{"app", "Registry.example:5000/team/app:1@" + sum, "UPPER", "app@sha256:1", strings.Repeat("a", 64)} {
		named, err := reference.ParseNormalizedNamed(image)
		fmt.Println(named, err)
	}
}
