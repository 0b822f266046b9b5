// Package tenant holds the built-in blueprint, and what its image is made of.
package tenant

import _ "embed"

// Template is the built-in blueprint: a compose file with an x-berth section.
//
//go:embed docker-compose.template.yml
var Template []byte
