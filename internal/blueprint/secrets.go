package blueprint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/pattern"
)

// maxSecrets bounds the files of one service: they share a megabyte of memory.
const maxSecrets = 16

// secretName is that of a secret, and of its file.
var secretName = pattern.Of(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

// sources are the secrets that the file declares, each with the tenant's
// variable that holds it.
func (p *parser) sources() map[string]string {
	all := map[string]string{}
	n := p.root.get("secrets")
	if n == nil {
		return all
	}
	for _, f := range n.fields {
		path := "secrets." + f.key
		variable := f.node.get("environment")
		switch {
		case !secretName().MatchString(f.key):
			p.invalid(&node{line: f.line}, path, "use letters, digits, _, - and .", "%s is not a name for a secret", berth.Quote(f.key))
		case variable == nil && !p.gone(path+".environment"):
			p.invalid(f.node, path, "name the tenant's variable that holds it: {environment: NAME}", "does not say where the secret comes from")
		case variable != nil && (!variableName().MatchString(variable.text()) || ownNames[variable.text()]):
			p.invalid(variable, path+".environment", "name one of the tenant's own variables", "%s is not a variable that a tenant states", variable.shown())
		case variable != nil:
			all[f.key] = variable.text()
			continue
		}
		p.lose(path)
	}
	return all
}

// secrets are the files that the service is given.
func (s serviceParser) secrets(sources map[string]string) []Secret {
	var list []Secret
	if len(s.from.Secrets) > maxSecrets {
		s.wrong("secrets", "use fewer", "there are %d secrets; %d are supported", len(s.from.Secrets), maxSecrets)
	}
	for i, from := range s.from.Secrets {
		path := fmt.Sprintf("%s.secrets[%d]", s.path, i)
		n := s.at("secrets")
		if n.isList && i < len(n.items) {
			n = n.items[i]
		}
		variable, ok := sources[from.Source]
		if !ok {
			if !s.gone("secrets." + from.Source) {
				s.invalid(n, path, "declare it under secrets, at the top: {environment: NAME}", "there is no secret %s", berth.Quote(from.Source))
			}
			continue
		}
		name := from.Target
		if name == "" {
			name = from.Source
		}
		name = strings.TrimPrefix(name, berth.SecretsDir+"/")
		switch {
		case !secretName().MatchString(name):
			s.invalid(n, path+".target", "give a file's name, such as db_password", "%s is not a file in %s", berth.Quote(from.Target), berth.SecretsDir)
			continue
		case slices.ContainsFunc(list, func(o Secret) bool { return o.Name == name }):
			s.invalid(n, path, "deliver one secret as one file", "another secret is %s already", name)
			continue
		case from.Mode != nil && int64(*from.Mode) != 0o400:
			s.add(n, path+".mode", NotSupported, "a secret is readable for the service's own user, and for nobody else", leaveOut)
		}
		list = append(list, Secret{Name: name, Variable: variable})
	}
	slices.SortFunc(list, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// besides refuses what else would be mounted where secrets are, or would be in
// their way. Engines and programs take that place for theirs even where Berth
// puts nothing.
func (s serviceParser) besides(out Service) {
	check := func(key, target string) {
		at := target
		if rest, ok := strings.CutPrefix(target, "/var/run"); ok && (rest == "" || rest[0] == '/') {
			at = "/run" + rest // what /var/run is in every image
		}
		inside := at == berth.SecretsDir || strings.HasPrefix(at, berth.SecretsDir+"/")
		switch {
		case inside && at == target && len(out.Secrets) > 0:
			s.wrong("secrets", "mount it elsewhere", "%s is where the service's secrets are", berth.Quote(target))
		case inside:
			s.addNew(s.at(key), s.path+"."+key, Forbidden, berth.Quote(target)+" is where secrets are", "mount it elsewhere")
		case strings.HasPrefix(berth.SecretsDir, at+"/") && len(out.Secrets) > 0:
			s.addNew(s.at(key), s.path+"."+key, Forbidden, berth.Quote(target)+" holds the place where the service's secrets are", "mount it at a directory of the service's own, such as "+target+"/app")
		}
	}
	for _, m := range out.Mounts {
		check("volumes", m.Target)
	}
	for _, t := range out.Tmpfs {
		check("tmpfs", t.Target)
	}
}

// filed are the variables that some service gets as a file: no service gets
// them as part of all of a tenant's variables.
func (a *App) filed() map[string]bool {
	all := map[string]bool{}
	for _, svc := range a.Services {
		for _, secret := range svc.Secrets {
			all[secret.Variable] = true
		}
	}
	return all
}

// secretsOf are the files of a service. Of a variable that the tenant does not
// state there is none.
func (x tenancy) secretsOf(svc Service) []berth.SecretFile {
	var list []berth.SecretFile
	for _, secret := range svc.Secrets {
		if value, ok := x.own.get(secret.Variable); ok {
			list = append(list, berth.SecretFile{Name: secret.Name, Version: x.Spec.Environment[secret.Variable], Value: value})
		}
	}
	return list
}

// composeSecret is a secret in a rendered file: compose delivers the variable
// of the .env file that holds it.
type composeSecret struct {
	Environment string `yaml:"environment"`
}

// composeSecretUse is how a service gets it.
type composeSecretUse struct {
	Source string `yaml:"source"`
	Target string `yaml:"target"`
	UID    string `yaml:"uid"`
	GID    string `yaml:"gid"`
	Mode   int    `yaml:"mode"`
}

// renderSecrets writes the secrets of a service, and what they are made of.
// Compose writes them into the container before it starts it, and can't where
// the root file system is read-only.
func (b *Blueprint) renderSecrets(file *composeFile, svc berth.Service, c *composeService) {
	if len(svc.Secrets) == 0 {
		return
	}
	c.ReadOnly = false
	uid, gid, _ := strings.Cut(svc.User, ":")
	i := slices.IndexFunc(b.app.Services, func(s Service) bool { return s.Name == svc.Name })
	variables := map[string]string{}
	for _, s := range b.app.Services[i].Secrets {
		variables[s.Name] = s.Variable
	}
	if file.Secrets == nil {
		file.Secrets = map[string]composeSecret{}
	}
	for _, f := range svc.Secrets {
		variable := variables[f.Name]
		file.Secrets[variable] = composeSecret{variablePrefix + variable}
		c.Secrets = append(c.Secrets, composeSecretUse{Source: variable, Target: f.Name, UID: uid, GID: gid, Mode: 0o400})
	}
}
