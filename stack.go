package berth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Stack is what a blueprint becomes for one tenant at one generation. It is
// engine-neutral and complete: an engine needs nothing else to make it real.
type Stack struct {
	OrganizationID string
	Name           string // of the tenant
	Generation     int
	Project        string // the compose project, tenant_<organizationId>
	Run            bool   // whether its instances run, or only exist
	Subnet         netip.Prefix
	Network        string    // name of the tenant's own network
	Services       []Service // each after those that it depends on
	Volumes        []Volume
	// Others are the versions that may stand beside those of Services. Whatever
	// else of the tenant is there goes before anything is made.
	Others []Version `json:",omitempty"`
}

// Version is a service as it was made from one spec: what Service.Hash gives.
type Version struct {
	Service, Hash string
	Instances     int // how many may stand: those with a replica number up to it
}

// Service is one program of a stack.
type Service struct {
	Name        string
	Main        bool   // answers the tenant's requests
	Image       string // digest or engine id; never a tag
	Reference   string // what the digest was resolved from, for people
	Replicas    int
	Port        int // where it listens, 0 if it does not
	User        string
	Environment []EnvVar // sorted by name
	Limits      Limits
	PidsLimit   int64
	Mounts      []Mount
	Tmpfs       []Tmpfs
	Health      HealthCheck
	Labels      map[string]string
	StopGrace   int // seconds between the stop signal and the kill

	// Left out of the hash where empty, so that a blueprint which uses none of
	// them goes on meaning the instances that it made before there were any.
	Command      []string     `json:",omitempty"` // nil: the image's
	Entrypoint   []string     `json:",omitempty"` // nil: the image's
	WorkingDir   string       `json:",omitempty"` // "": the image's
	StopSignal   string       `json:",omitempty"` // "": the image's
	Aliases      []string     `json:",omitempty"` // further names in the tenant's network
	Capabilities []string     `json:",omitempty"` // added to none
	HealthProbe  *HealthProbe `json:",omitempty"` // run inside the instance; nil: the image's
	NoHealth     bool         `json:",omitempty"` // the image's health check is switched off
	ShmMB        int          `json:",omitempty"` // size of /dev/shm; 0: the engine's default
	// Secrets are files in SecretsDir, in memory, that only the service's user
	// reads. They are there before its process starts, however it is started.
	Secrets []SecretFile `json:",omitempty"`
	// Release counts the changes of what a tenant runs. Only a service that
	// runs once per release carries it: for the others it is 0.
	Release int `json:",omitempty"`

	// How and when it runs. No instance is made from these.
	DependsOn []Dependency `json:",omitempty"`
	Once      bool         `json:",omitempty"` // runs to its end before what needs it starts
	// Done means that a service that runs once did so: no instance of it is
	// called for.
	Done bool `json:",omitempty"`
	// Deferred means that something it depends on is not there yet: none of its
	// instances is called for. Those that are there stand as Others.
	Deferred bool `json:",omitempty"`
	// NameLeadsTo is the version that is found by the service's name inside the
	// tenant's network, or NoVersion; "" means this one.
	NameLeadsTo string `json:",omitempty"`

	hash string // what Hash gives, where Hashed noted it
}

// Condition says what a service waits for.
type Condition string

const (
	ConditionStarted   Condition = "service_started"
	ConditionHealthy   Condition = "service_healthy"
	ConditionCompleted Condition = "service_completed_successfully"
)

// Dependency is one service that another one needs before it starts.
type Dependency struct {
	Service   string
	Condition Condition
}

// HealthProbe is a command that an engine runs inside an instance to find out
// whether it is well. The first element is CMD or CMD-SHELL, as in the Compose
// Specification.
type HealthProbe struct {
	Test        []string
	Interval    time.Duration
	Timeout     time.Duration
	Retries     int
	StartPeriod time.Duration
}

// EnvVar is one variable, its value in clear.
type EnvVar struct{ Name, Value string }

// SecretsDir is where a service finds its secrets that are files.
const SecretsDir = "/run/secrets"

// SecretFile is one secret that is delivered as a file.
type SecretFile struct {
	Name    string // in SecretsDir
	Version string // names the value; a hash of the value itself could be guessed at
	Value   string `json:"-"`
}

// Mount puts a named volume at a path.
type Mount struct {
	Volume, Target string
	ReadOnly       bool `json:",omitempty"`
}

// Tmpfs is memory-backed scratch space.
type Tmpfs struct {
	Target string
	SizeMB int
}

// Volume is a named volume of a stack.
type Volume struct {
	Name string // in the engine
	Key  string // in the blueprint
	// Shared means that two generations may hold it at the same time. Of any
	// other, only one process group ever writes to it.
	Shared bool `json:",omitempty"`
	// Recorded means that the store knows the volume was made before. If the
	// engine does not have it, data is missing: nothing may start on an empty
	// one in its place.
	Recorded bool
}

// NoVersion is a name inside the network that leads to nothing new yet.
const NoVersion = "none"

// Hidden reports whether the service's name leads elsewhere than to this
// version of it.
func (s Service) Hidden() bool { return s.NameLeadsTo != "" && s.NameLeadsTo != s.Hash() }

// Instances are those that s calls for, in the order in which they start. Those
// of a service that is deferred or done are not among them.
func (s Stack) Instances() []InstanceSpec {
	var list []InstanceSpec
	for i := range s.Services {
		svc := &s.Services[i]
		if svc.Deferred || svc.Done {
			continue
		}
		hash := svc.Hash()
		for n := 1; n <= svc.Replicas; n++ {
			list = append(list, InstanceSpec{Service: svc, Slot: Slot{svc.Name, n}, Hash: hash})
		}
	}
	return list
}

// MayStand reports whether an instance that s does not call for is one of those
// that may stand beside.
func (s Stack) MayStand(c Instance) bool {
	return slices.ContainsFunc(s.Others, func(v Version) bool {
		return v.Service == c.Service && v.Hash == c.Hash && c.Replica <= v.Instances
	})
}

// Pair finds the instances that a stack calls for among those that are there:
// by service, replica and version, whatever they are called. extra is what the
// stack does not call for.
func (s Stack) Pair(have []Instance) (kept map[Slot]Instance, extra []Instance) {
	kept = make(map[Slot]Instance, len(have))
	specs := s.Instances()
	for _, spec := range specs {
		for _, c := range have {
			if best, ok := kept[spec.Slot]; c.Slot() == spec.Slot && c.Hash == spec.Hash && (!ok || better(c, best)) {
				kept[spec.Slot] = c
			}
		}
	}
	for _, c := range have {
		if best, ok := kept[c.Slot()]; !ok || best.ID != c.ID || best.Name != c.Name {
			extra = append(extra, c)
		}
	}
	return kept, extra
}

// better reports whether of two instances made from one spec a is the one to
// keep: one that runs, else the one that has taken its place.
func better(a, b Instance) bool {
	up := func(c Instance) bool { return c.State == InstanceRunning || c.State == InstanceRestarting }
	if up(a) != up(b) {
		return up(a)
	}
	return !a.Beside && b.Beside
}

// Waves parts the instances into groups that start one after the other: each
// comes after those that its service depends on.
func (s Stack) Waves() [][]InstanceSpec {
	depth := make(map[string]int, len(s.Services))
	for _, svc := range s.Services { // each comes after what it depends on
		for _, d := range svc.DependsOn {
			if depth[svc.Name] <= depth[d.Service] {
				depth[svc.Name] = depth[d.Service] + 1
			}
		}
	}
	var waves [][]InstanceSpec
	for _, spec := range s.Instances() {
		n := depth[spec.Name]
		for len(waves) <= n {
			waves = append(waves, nil)
		}
		waves[n] = append(waves[n], spec)
	}
	return waves
}

// InstanceSpec is one instance that a stack calls for.
type InstanceSpec struct {
	Service *Service
	Slot
	Hash string
}

// Slot is the place of one instance in a stack, whatever stands in it.
type Slot struct {
	Name    string // of the service
	Replica int    // from 1
}

func (s Slot) String() string { return "instance " + strconv.Itoa(s.Replica) + " of service " + s.Name }

// Hashed returns the stack with the hashes of its services noted. What instances
// are made from does not change any more in what it returns.
func (s Stack) Hashed() Stack {
	s.Services = slices.Clone(s.Services)
	for i := range s.Services {
		s.Services[i].hash = s.Services[i].Hash()
	}
	return s
}

// Hash identifies what an instance was made from. What an engine can change on
// a living instance (CPU, memory, number of replicas), what no instance
// carries (disk) and when it runs is left out.
func (s Service) Hash() string {
	if s.hash != "" {
		return s.hash
	}
	s.Limits, s.Replicas, s.Reference = Limits{}, 0, ""
	s.DependsOn, s.Once, s.Done, s.Deferred, s.NameLeadsTo = nil, false, false, false, ""
	data, err := json.Marshal(s) // maps are encoded in key order
	if err != nil {
		panic(err) // a Service holds only strings, numbers and slices of them
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}
