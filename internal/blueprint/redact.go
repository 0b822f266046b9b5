package blueprint

import (
	"bytes"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/pattern"
)

// hidden stands where a literal looks secret.
const hidden = "(hidden)"

var (
	// plainReference is a reference to a tenant's variable that brings no value of its own.
	plainReference = pattern.Of(`\$\{[A-Za-z_][A-Za-z0-9_]*(?::?\?[^}]*)?\}|\$[A-Za-z_][A-Za-z0-9_]*`)
	// credentials are user and password in a URL or a data source's name, or a token
	// in their place.
	credentials = pattern.Of(`[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s@]*:([^/\s@]+)@|\bhttps?://([^/\s@:]+)@|[\w.-]+:([^\s@/:]+)@(?:tcp|unix)?\(`)
	// assigned is a setting with a secret's name and a value, as programs take it.
	assigned = pattern.Of(`(?i)([a-z0-9_.-]*(?:secret|token|password|passwd|passphrase|private|credential|requirepass|masterauth|api[_-]?key|[_-]key|_dsn)[a-z0-9_.-]*)["']?\s*[=: ]\s*["']?([^\s"']+)`)
	// setting is anything with a name and a value; namesSecret tells of the name.
	setting = pattern.Of(`([A-Za-z][A-Za-z0-9_.-]*)["']?\s*[=:]\s*["']?([^\s"'=:;,&]+)`)
	// inQuery is what a URL's query says to let somebody in.
	inQuery = pattern.Of(`(?i)[?&](?:key|sig|signature|auth|code)=([^&\s"']+)`)
	// pair is a name and a password, as the settings for signing in have them.
	pair = pattern.Of(`^[^\s:/]+[:/][^\s/][^\s]*$`)
	// attached is a password that a client of MySQL takes.
	attached = pattern.Of(`(?i)\b(?:mysql|mariadb)[a-z-]*\b.*?\s-p([^\s"']+)`)
	client   = pattern.Of(`(?i)^(?:.*/)?(?:mysql|mariadb)[a-z-]*$`)
	// program is one whose short option takes a secret: -a, -p or -u, by group.
	program = pattern.Of(`^(?:.*/)?(?:(redis-cli|valkey-cli|keydb-cli)|(mongo|mongosh|mongodump|mongorestore|sshpass)|(curl))$`)
	// secretFlag is an argument after which the next one is the secret.
	secretFlag = pattern.Of(`(?i)^-{1,2}[a-z0-9_-]*(?:secret|token|pass|passwd|password|pwd|requirepass|masterauth|credential|auth|dsn|salt|key|user)[a-z0-9_-]*$`)
	// authorisation is a header's value that lets somebody in.
	authorisation = pattern.Of(`(?i)\b(?:bearer|basic)\s+[a-z0-9+/=._~-]{6,}`)
	// known are the forms of well-known keys and tokens.
	known = pattern.Of(`-----BEGIN|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_|\bglpat-|\bxox[abposr]-|\b[sr]k_(?:live|test)_|\bsk-[A-Za-z0-9_-]{16,}|\bwhsec_|\bberth_[A-Za-z0-9_-]{20,}|\$(?:apr1|2[abxy]|5|6|argon2id?)\$|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.|\bAIza[A-Za-z0-9_-]{20,}|\bSG\.[A-Za-z0-9_-]{16,}`)
	// random is what nobody writes by hand; digests name images.
	random = pattern.Of(`[A-Za-z0-9+/_=-]{24,}`)
	digest = pattern.Of(`sha256:[0-9a-f]{64}`)
	// words are the parts of a name, in whatever case it is written.
	words = pattern.Of(`[A-Z][A-Z0-9]+\b|[A-Z][A-Z0-9]*(?:_|$)|[A-Z]?[a-z0-9]+|[A-Z0-9]+`)
	// secretWord is a word that by itself says that a value is secret.
	secretWord = pattern.Of(`^(?:(?:PG|DB|MY|SQL|ADMIN|ROOT|USER|SMTP|MAIL|REDIS|MONGO|WEB|RCON)?(?:PASS|PWD|PW)|PASSWD|PSK|SALT|PEPPER|MNEMONIC|PASSWORT|AUTHCODE|CREDS?|DSN)$`)
	// described is the end of a name whose value only describes a secret.
	described = pattern.Of(`(?:^|_)(AGE|DAYS|ENABLED?|DISABLED?|USERS|UPLOAD|EXPIR[A-Z]*|TTL|LIFE|LIFETIME|TIMEOUT|LENGTH|SIZE|PORT|ROUNDS|COST|FILE|PATH|DIR)$`)
	amount    = pattern.Of(`^[0-9]+(?:ms|[smhdkKMG]|[kKMG]i?[bB])?$`)
	boolean   = pattern.Of(`(?i)^(?:true|false|yes|no|on|off|0|1)$`)
)

// Redact is a blueprint, or a compose file, for those who use it and did not
// write it: without comments, and without literals that look secret. What can't
// be read is not shown at all.
func Redact(source []byte) []byte {
	var doc yaml.Node
	if yaml.Unmarshal(source, &doc) != nil {
		return []byte("# " + hidden + "\n")
	}
	redact(&doc, "")
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if enc.Encode(&doc) != nil || enc.Close() != nil {
		return []byte("# " + hidden + "\n")
	}
	return out.Bytes()
}

// redact goes through a tree; name is the key that n stands under.
func redact(n *yaml.Node, name string) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			redact(key, "")
			redact(value, key.Value)
		}
	case yaml.SequenceNode:
		var c command
		for _, item := range n.Content {
			word := item
			if item.Kind == yaml.AliasNode {
				word = item.Alias
			}
			if word.Kind == yaml.ScalarNode {
				if is, _ := c.secret(word.Value); is {
					hide(word)
				}
			}
			redact(item, "")
		}
	case yaml.ScalarNode:
		secret := looksSecret(n.Value)
		if name == "image" { // its tag may be random, and is no secret
			secret = credentials().MatchString(n.Value)
		}
		if secret || n.Tag != "!!null" && isSecret(name, n.Value) {
			hide(n)
		}
	case yaml.AliasNode: // what it stands for may have no telling name of its own
		if a := n.Alias; a != nil && a.Kind == yaml.ScalarNode {
			redact(a, name)
		}
	default:
		for _, c := range n.Content {
			redact(c, name)
		}
	}
}

func hide(n *yaml.Node) {
	if hasLiteral(n.Value) {
		n.Value, n.Tag, n.Style = hidden, "!!str", 0
	}
}

// isSecret reports whether a value is not to be shown for the name that it has.
func isSecret(name, value string) bool {
	if parts := partsOf(name); len(parts) > 0 && parts[len(parts)-1] == "AUTH" && pair().MatchString(value) {
		return hasLiteral(value)
	}
	return (name == "REDISCLI_AUTH" || namesSecret(name)) && !describes(name, value) && hasLiteral(value)
}

// command goes through the arguments of a command, as a list or as text has them.
type command struct {
	flag  bool   // the next argument is a secret
	mysql bool   // a client of MySQL's is called
	short string // the option of the program called that takes a secret
}

// secret reports whether the next argument hands a secret over: it follows an option
// that takes one, or is attached to it.
func (c *command) secret(arg string) (is, attached bool) {
	is = c.flag
	value, ends := c.cut(arg)
	attached = isLiteral(value)
	called := strings.Trim(arg, "\"'`($;&|") // as a command within one is
	if of := program().FindStringSubmatch(called); of != nil {
		for i, short := range []string{"-a", "-p", "-u"} {
			if of[i+1] != "" {
				c.short = short
			}
		}
	}
	c.mysql = c.mysql || client().MatchString(called)
	c.flag = ends || secretFlag().MatchString(arg)
	return is || attached, attached
}

// cut returns what is attached to the option of the program called that takes a secret,
// or that the option ends the argument. curl takes others before it in one argument.
func (c *command) cut(arg string) (value string, ends bool) {
	short := c.short
	if c.mysql {
		short = "-p"
	}
	if short == "" || len(arg) < 2 || arg[0] != '-' || arg[1] == '-' {
		return "", false
	}
	at := strings.IndexByte(arg, short[1])
	if at != 1 && (at < 0 || short != "-u") {
		return "", false
	}
	value = arg[at+1:]
	return value, value == "" && !c.mysql // which asks for it then
}

// handsOver reports whether a command that is written as text has a secret for an
// argument. If it has, the whole text is hidden; so what is harmless after an option
// counts as no secret: a path, another option, a number, a user's name without a
// password.
func handsOver(text string) bool {
	var c command
	before := ""
	for _, word := range strings.Fields(text) {
		harmless := strings.HasPrefix(word, "/") || strings.HasPrefix(word, "-") || boolean().MatchString(word) || amount().MatchString(word) ||
			strings.HasSuffix(before, "user") && !strings.Contains(word, ":")
		if is, attached := c.secret(word); attached || is && !harmless && isLiteral(word) {
			return true
		}
		before = word
	}
	return false
}

// isLiteral reports whether an argument brings a value of its own, and not only
// references to variables, the shell's among them.
func isLiteral(arg string) bool {
	return strings.Trim(plainReference().ReplaceAllString(arg, ""), `$:;|&()"'`) != ""
}

// describes reports whether a value says something of a secret: whether there is
// one, how long it is valid, or where it lies.
func describes(name, value string) bool {
	if boolean().MatchString(value) {
		return true
	}
	last := described().FindStringSubmatch(strings.Join(partsOf(name), "_"))
	if last == nil {
		return false
	}
	switch last[1] {
	case "FILE", "PATH", "DIR":
		return strings.HasPrefix(value, "/")
	}
	return amount().MatchString(value)
}

// partsOf are the words of a name in upper case: ACCESS, AUTH, CODE of
// accessAuthCode.
func partsOf(name string) (parts []string) {
	for _, part := range words().FindAllString(name, -1) {
		parts = append(parts, strings.Trim(strings.ToUpper(part), "_"))
	}
	return parts
}

func namesSecret(name string) bool {
	if name == "PWD" || name == "OLDPWD" {
		return false // the shell's directory
	}
	upper := strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	if berth.IsSecretName(upper) || strings.HasSuffix(upper, "AUTHORIZATION") || strings.HasSuffix(upper, "COOKIE") {
		return true
	}
	parts := partsOf(name)
	for i, part := range parts {
		if secretWord().MatchString(part) || i > 0 && (part == "KEY" || part == "CODE" && parts[i-1] == "AUTH") {
			return true
		}
	}
	return false
}

// hasLiteral reports whether more is left of a value than references to what a
// tenant's variables hold.
func hasLiteral(value string) bool {
	return strings.TrimSpace(plainReference().ReplaceAllString(value, "")) != ""
}

// looksSecret reports whether a value is, or holds, what only its owner should
// know, whatever it stands under.
func looksSecret(value string) bool {
	if name, rest, ok := strings.Cut(value, "="); ok && name != "" && !strings.ContainsAny(name, " \t\n$:/") {
		return isSecret(strings.TrimLeft(name, "-"), rest) || looksSecret(rest) // a name is never random
	}
	if handsOver(value) {
		return true
	}
	for _, form := range []*regexp.Regexp{credentials(), attached(), inQuery()} {
		for _, part := range form.FindAllStringSubmatch(value, -1) {
			if hasLiteral(strings.Join(part[1:], "")) {
				return true
			}
		}
	}
	for _, part := range assigned().FindAllStringSubmatch(value, -1) {
		if !describes(part[1], part[2]) && hasLiteral(part[2]) {
			return true
		}
	}
	for _, part := range setting().FindAllStringSubmatch(value, -1) {
		if isSecret(part[1], part[2]) {
			return true
		}
	}
	if known().MatchString(value) || authorisation().MatchString(value) {
		return true
	}
	for _, word := range random().FindAllString(plainReference().ReplaceAllString(digest().ReplaceAllString(value, ""), " "), -1) {
		if mixed(word) {
			return true
		}
	}
	return false
}

// mixed reports whether a long word changes between letters and digits as often
// as a random one does.
func mixed(word string) bool {
	changes, digits := 0, 0
	class := func(b byte) int {
		switch {
		case b >= '0' && b <= '9':
			return 1
		case b >= 'A' && b <= 'Z':
			return 2
		default:
			return 3
		}
	}
	for i := range len(word) {
		if class(word[i]) == 1 {
			digits++
		}
		if i > 0 && class(word[i]) != class(word[i-1]) {
			changes++
		}
	}
	return digits >= 3 && changes >= len(word)/4
}
