package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"
)

// read returns the variables that were given: the file first, then the flags.
func (e *envFlags) read(getenv func(string) string) (map[string]string, error) {
	env := map[string]string{}
	if e.file != "" {
		if err := readEnvFile(e.file, env); err != nil {
			return nil, err
		}
	}
	for _, pair := range e.vars {
		name, value, ok := cutPair(pair)
		if name == "" {
			return nil, usagef("--env must be NAME=VALUE or NAME")
		}
		if !ok {
			if value = getenv(name); value == "" {
				return nil, usagef("--env %s: no such variable here; --env %s= sets it empty", name, name)
			}
		}
		env[name] = value
	}
	return env, nil
}

func readEnvFile(path string, env map[string]string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--env-file: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeft(lines.Text(), " \t")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := cutPair(line)
		if !ok {
			return fmt.Errorf("--env-file %s, line %d: must be NAME=VALUE", path, n)
		}
		env[name] = value
	}
	return lines.Err()
}

// durationFlag is a duration that says in words what is wrong with it.
type durationFlag struct{ to *time.Duration }

func (d durationFlag) String() string {
	if d.to == nil {
		return ""
	}
	return d.to.String()
}

func (d durationFlag) Type() string { return "duration" }

func (d durationFlag) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("must be a duration such as 60s or 2m; %q was given", s)
	}
	*d.to = v
	return nil
}

func (d durationFlag) fromEnv(s, name string) error {
	if s == "" {
		return nil
	}
	if err := d.Set(s); err != nil {
		return usagef("%s %w", name, err)
	}
	return nil
}
