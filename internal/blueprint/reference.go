package blueprint

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/pattern"
)

// variablePrefix sets a tenant's variables apart from those of the shell that
// runs compose, which win over the .env file: HOME would else be the
// operator's.
const variablePrefix = "TENANT_VAR_"

// references stand for a tenant's own variables in a rendered file. A
// reference travels through the stack between NULs, which no text can hold,
// and becomes compose's syntax only when everything around it was escaped.
type references struct {
	names map[string]string
}

func (r references) get(name string) (string, bool) {
	_, ok := r.names[name]
	return marked(name, ""), ok
}

// refer keeps a default that stands in for an empty value: whether the value
// is empty is not known here.
func (r references) refer(p Part) string {
	if p.HasDefault && p.OrEmpty {
		return marked(p.Name, ":-"+p.Default)
	}
	return marked(p.Name, "")
}

func marked(name, operator string) string { return "\x00" + name + "\x00" + operator + "\x00" }

var mark = pattern.Of("\x00([A-Za-z0-9_]+)\x00([^\x00]*)\x00")

// escaped doubles the dollar signs of s, so that compose takes them as they
// are, and turns marks into references. One without a default must be there:
// compose refuses to start on an empty password.
func escaped(s string) string {
	s = strings.ReplaceAll(s, "$", "$$")
	return mark().ReplaceAllStringFunc(s, func(m string) string {
		parts := mark().FindStringSubmatch(m)
		if parts[2] == "" {
			parts[2] = "?is missing: berth compose --with-secrets writes the .env file"
		}
		return "${" + variablePrefix + parts[1] + parts[2] + "}"
	})
}

func escapedAll(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, escaped(s))
	}
	return out
}

// The characters that the two readers of .env files, python-dotenv and
// compose-go, treat differently however they are escaped are variables of
// their own. Both take these three lines, and ${NAME} in double quotes, alike.
const dotenvHead = `TENANT_CHAR_DOLLAR='$'
TENANT_CHAR_QUOTE='"'
TENANT_CHAR_BACKSLASH=\
`

var dotenvEscapes = strings.NewReplacer(
	"$", "${TENANT_CHAR_DOLLAR}", `"`, "${TENANT_CHAR_QUOTE}", `\`, "${TENANT_CHAR_BACKSLASH}",
	"\n", `\n`, "\r", `\r`,
)

// Env is the .env file that belongs beside a rendered compose file: the
// tenant's own variables in clear.
func (b *Blueprint) Env(organizationID string, values map[string]string) []byte {
	var out bytes.Buffer
	out.WriteString("# Secrets of a tenant in clear. Berth removes this file when it adopts or deprovisions the tenant.\n")
	out.WriteString("COMPOSE_PROJECT_NAME=" + berth.ContainerName(organizationID) + "\n")
	out.WriteString(dotenvHead)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out.WriteString(variablePrefix + name + `="` + dotenvEscapes.Replace(values[name]) + "\"\n")
	}
	return out.Bytes()
}
