package berth

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// BlueprintVersion is one version of the app that tenants get copies of, as
// it was applied. It is never changed: an edited file is the next version.
type BlueprintVersion struct {
	Name      string
	Version   int    // from 1
	Hash      string // of Source; see BlueprintHash
	Source    []byte // the compose file, byte for byte
	CreatedAt time.Time
	CreatedBy string // actor id
}

// ID is the version's name@version, which deployments record.
func (v BlueprintVersion) ID() string { return BlueprintID(v.Name, v.Version) }

// BuiltinBlueprint is the name of the blueprint that comes with Berth.
const BuiltinBlueprint = "builtin"

// BlueprintID joins what ParseBlueprintID takes apart.
func BlueprintID(name string, version int) string { return name + "@" + strconv.Itoa(version) }

// BlueprintHash identifies a blueprint's content.
func BlueprintHash(source []byte) string {
	sum := sha256.Sum256(source)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var blueprintName = pattern(`^[a-z0-9][a-z0-9-]{0,39}$`)

// ParseBlueprintID reads NAME or NAME@VERSION. Version 0 means the newest.
func ParseBlueprintID(s string) (name string, version int, err error) {
	name, number, numbered := strings.Cut(s, "@")
	if numbered {
		version, err = strconv.Atoi(number)
	}
	if err != nil || numbered && version < 1 || !blueprintName().MatchString(name) {
		return "", 0, Errorf(CodeInvalidRequest, "Invalid blueprint").WithField("blueprint").
			WithHint("give a name of a-z, 0-9 and -, with an optional version, such as shop or shop@3; %s was given", Quote(s))
	}
	return name, version, nil
}

// BlueprintDefaults are what a tenant gets that asks for nothing, and what is
// the same for all tenants of a version.
type BlueprintDefaults struct {
	ImageTag string // of the service that takes requests
	Limits   Limits // of the whole tenant
	Replicas int    // of the service that takes requests
	Port     int    // where it listens
	Health   HealthCheck
	// Exclusive are the volumes, by their key, that only one generation may
	// hold at a time.
	Exclusive []string
	// Once are the services that run once per release, in the order in which
	// they start.
	Once []string
	// Mounts say what each service finds at its paths.
	Mounts []BlueprintMount
}

// BlueprintMount is a path of a service that a blueprint mounts something at.
type BlueprintMount struct {
	BlueprintPlace
	Volume string // its key; "" for a tmpfs
}

// BlueprintPlace is a path inside the instances of a service.
type BlueprintPlace struct{ Service, Target string }

// BlueprintFinding is one thing that is wrong with a blueprint.
type BlueprintFinding struct {
	Path string // such as services.web.privileged
	Line int    // from 1; 0 if not known
	Kind string // "invalid", "forbidden" or "not supported yet"
	Rule string // what is wrong and why
	Hint string // the way out
}
