// Starts uses jsonschema as compose-go does.
package main

import (
	"fmt"

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
}
