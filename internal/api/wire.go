package api

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

// What requests carry. Fields are the contract's; a pointer that is nil was
// not given.

type provisionBody struct {
	OrganizationID string            `json:"organizationId" doc:"UUID of the customer"`
	TenantName     string            `json:"tenantName" doc:"1-100 characters"`
	Slug           string            `json:"slug,omitempty" doc:"one DNS label; made from the name if left out"`
	CPULimit       *float64          `json:"cpuLimit,omitempty" doc:"cores, above 0 to 4.0; 0.50"`
	MemoryLimitMB  *int              `json:"memoryLimitMb,omitempty" doc:"256 to 8192; 512"`
	DiskLimitMB    *int              `json:"diskLimitMb,omitempty" doc:"1024 or more; 2048"`
	Blueprint      string            `json:"blueprint,omitempty" doc:"name or name@version; Berth's default if left out"`
	ImageTag       string            `json:"imageTag,omitempty" doc:"a tag of the blueprint's image, or a full reference; latest"`
	Environment    map[string]string `json:"environment,omitempty" doc:"encrypted at rest, never shown again"`
	Domains        []string          `json:"domains,omitempty" doc:"not supported yet"`
	Replicas       *int              `json:"replicas,omitempty" doc:"1 to 8; 1"`
	Start          bool              `json:"start,omitempty" doc:"start it at once"`
	LeaveData      bool              `json:"leaveData,omitempty" doc:"a service may begin empty at a path where an earlier tenant of the organization left data; without it that is refused"`
}

type scaleBody struct {
	CPULimit      *float64 `json:"cpuLimit,omitempty"`
	MemoryLimitMB *int     `json:"memoryLimitMb,omitempty"`
	Replicas      *int     `json:"replicas,omitempty"`
}

type deployBody struct {
	Blueprint   *string            `json:"blueprint,omitempty" doc:"name or name@version; the newest version of the tenant's own if left out"`
	ImageTag    *string            `json:"imageTag,omitempty"`
	Environment map[string]*string `json:"environment,omitempty" doc:"merged; null removes"`
	Notes       string             `json:"deploymentNotes,omitempty"`
	LeaveData   bool               `json:"leaveData,omitempty" doc:"a service may begin empty at a path where the tenant has data, which stays in its volume; without it that is refused"`
}

type rollbackBody struct {
	DeploymentID string `json:"deploymentId,omitempty" doc:"to return to; the last good one before the present one if left out"`
	Notes        string `json:"deploymentNotes,omitempty"`
}

type configureBody struct {
	TenantName  *string            `json:"tenantName,omitempty"`
	DiskLimitMB *int               `json:"diskLimitMb,omitempty"`
	Environment map[string]*string `json:"environment,omitempty" doc:"merged; null removes"`
	Domains     []string           `json:"domains,omitempty" doc:"not supported yet"`
}

type emptyBody struct{}

// noNullVariable refuses null among a new tenant's variables: encoding/json
// takes it for an empty value, and there is none yet that it could remove. The
// body has been decoded before.
func noNullVariable(body []byte) error {
	var b struct {
		Environment map[string]*string `json:"environment"`
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return malformed("Request body is not valid JSON: %v", err).WithHint("send one JSON object")
	}
	for name, value := range b.Environment {
		if value == nil {
			field := "environment." + name
			return malformed("%s must be a string, not null", field).WithField(field).
				WithHint("leave the variable out, or give \"\" for an empty value")
		}
	}
	return nil
}

// tenantWire is a tenant: the seed's columns, and what Berth adds. Unknown is
// null.
type tenantWire struct {
	ID                string      `json:"id"`
	OrganizationID    string      `json:"organizationId"`
	TenantName        string      `json:"tenantName"`
	Slug              string      `json:"slug"`
	ContainerID       *string     `json:"containerId" doc:"the engine's"`
	ContainerName     string      `json:"containerName"`
	ImageTag          string      `json:"imageTag"`
	ImageDigest       *string     `json:"imageDigest" doc:"what the tag stands for"`
	Images            imagePins   `json:"images" doc:"the same for services whose image is another one, by service"`
	Blueprint         string      `json:"blueprint" doc:"name@version that it is made from"`
	BlueprintBehind   *bool       `json:"blueprintBehind" doc:"whether there is a newer version; a deploy brings it. null while that is not known"`
	ExternalPort      int         `json:"externalPort"`
	InternalPort      int         `json:"internalPort"`
	TenantURL         string      `json:"tenantUrl"`
	CPULimit          float64     `json:"cpuLimit" doc:"cores"`
	EffectiveCPULimit *float64    `json:"effectiveCpuLimit" doc:"cores; what the engine can give of cpuLimit, null before it was asked"`
	MemoryLimitMB     int         `json:"memoryLimitMb"`
	DiskLimitMB       int         `json:"diskLimitMb"`
	Replicas          int         `json:"replicas"`
	Generation        int         `json:"generation"`
	Status            string      `json:"status"`
	HealthStatus      string      `json:"healthStatus"`
	Cause             *string     `json:"cause" doc:"why it is not well"`
	LastStartedAt     *time.Time  `json:"lastStartedAt"`
	LastStoppedAt     *time.Time  `json:"lastStoppedAt"`
	LastHealthCheckAt *time.Time  `json:"lastHealthCheckAt"`
	EnvironmentVars   []string    `json:"environmentVars" doc:"names; values are never shown"`
	VolumeMounts      []mountWire `json:"volumeMounts"`
	CreatedAt         time.Time   `json:"createdAt"`
	UpdatedAt         time.Time   `json:"updatedAt"`
	CreatedBy         *string     `json:"createdBy"`
}

type mountWire struct {
	Volume string `json:"volume"`
	Mount  string `json:"mount"`
}

// imagePins are what services run, by service. Its zero value is an empty
// object.
type imagePins map[string]string

// MarshalJSON implements json.Marshaler.
func (p imagePins) MarshalJSON() ([]byte, error) {
	if p == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]string(p))
}

func (s *server) tenantWire(t berth.Tenant) tenantWire {
	return s.tenantWireOf(t, s.behind(context.Background(), t))
}

// tenantWireOf shows a tenant, one of those that behind is about.
func (s *server) tenantWireOf(t berth.Tenant, behind map[string]bool) tenantWire {
	mounts := []mountWire{}
	for _, v := range s.Service.Mounts(context.Background(), t) {
		mounts = append(mounts, mountWire{v.Name, v.Mount})
	}
	var effective *float64
	if info, _ := s.Service.EngineInfo(); info.Cores > 0 {
		cores := t.Spec.Limits.EffectiveCPU(info.Cores)
		effective = &cores
	}
	var newer *bool
	if b, known := behind[t.OrganizationID]; known {
		newer = &b
	}
	return tenantWire{
		ID: t.ID, OrganizationID: t.OrganizationID, TenantName: t.Name, Slug: t.Slug,
		ContainerID: orNull(t.ContainerID), ContainerName: t.ContainerName(),
		ImageTag: t.Spec.ImageTag, ImageDigest: orNull(t.Spec.ImageDigest), Images: t.Spec.Images,
		Blueprint: t.Spec.Blueprint, BlueprintBehind: newer,
		ExternalPort: t.ExternalPort, InternalPort: t.Spec.InternalPort, TenantURL: t.URL,
		CPULimit: t.Spec.Limits.CPU, EffectiveCPULimit: effective,
		MemoryLimitMB: t.Spec.Limits.MemoryMB, DiskLimitMB: t.Spec.Limits.DiskMB, Replicas: t.Spec.Replicas,
		Generation: t.Generation, Status: string(t.Status), HealthStatus: string(t.Health), Cause: orNull(t.Cause),
		LastStartedAt: orNullTime(t.LastStartedAt), LastStoppedAt: orNullTime(t.LastStoppedAt), LastHealthCheckAt: orNullTime(t.LastProbedAt),
		EnvironmentVars: names(t.Spec.Environment), VolumeMounts: mounts,
		CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, CreatedBy: orNull(t.CreatedBy),
	}
}

func names(env map[string]string) []string {
	list := slices.Sorted(maps.Keys(env))
	if list == nil {
		list = []string{}
	}
	return list
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orNullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// specWire is a deployment's previousConfig or newConfig.
type specWire struct {
	ImageTag        string    `json:"imageTag"`
	ImageDigest     *string   `json:"imageDigest"`
	Images          imagePins `json:"images" doc:"the same for services whose image is another one, by service"`
	Blueprint       string    `json:"blueprint"`
	CPULimit        float64   `json:"cpuLimit"`
	MemoryLimitMB   int       `json:"memoryLimitMb"`
	DiskLimitMB     int       `json:"diskLimitMb"`
	Replicas        int       `json:"replicas"`
	EnvironmentVars []string  `json:"environmentVars" doc:"names"`
}

func specOf(s berth.Spec) specWire {
	return specWire{
		ImageTag: s.ImageTag, ImageDigest: orNull(s.ImageDigest), Images: s.Images, Blueprint: s.Blueprint, CPULimit: s.Limits.CPU,
		MemoryLimitMB: s.Limits.MemoryMB, DiskLimitMB: s.Limits.DiskMB, Replicas: s.Replicas, EnvironmentVars: names(s.Environment),
	}
}

// deploymentWire is a deployment: the seed's columns, and what Berth adds.
type deploymentWire struct {
	ID                   string     `json:"id"`
	ContainerID          string     `json:"containerId" doc:"the tenant's record"`
	OrganizationID       string     `json:"organizationId"`
	DeploymentType       string     `json:"deploymentType"`
	Status               string     `json:"status"`
	Generation           int        `json:"generation"`
	PreviousImageTag     *string    `json:"previousImageTag"`
	NewImageTag          string     `json:"newImageTag"`
	ImageDigest          *string    `json:"imageDigest" doc:"what really ran"`
	Blueprint            string     `json:"blueprint" doc:"name@version"`
	PreviousConfig       *specWire  `json:"previousConfig"`
	NewConfig            specWire   `json:"newConfig"`
	StartedAt            *time.Time `json:"startedAt"`
	CompletedAt          *time.Time `json:"completedAt"`
	ErrorMessage         *string    `json:"errorMessage"`
	CanRollback          bool       `json:"canRollback"`
	RollbackDeploymentID *string    `json:"rollbackDeploymentId"`
	DeployedBy           *string    `json:"deployedBy"`
	DeploymentNotes      *string    `json:"deploymentNotes"`
	CreatedAt            time.Time  `json:"createdAt"`
	EnvironmentChanged   []string   `json:"environmentChanged" doc:"names of the variables that were set, changed or removed"`
	Steps                []stepWire `json:"steps" doc:"in the order in which they were taken"`
	Step                 *string    `json:"step,omitempty" doc:"what is being done, while it is under way"`
	ProgressDone         int64      `json:"progressDone,omitempty" doc:"bytes"`
	ProgressTotal        int64      `json:"progressTotal,omitempty" doc:"bytes"`
}

type stepWire struct {
	Name      string    `json:"name"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
	Error     *string   `json:"error"`
}

func deploymentOf(d berth.Deployment) deploymentWire {
	w := deploymentWire{
		ID: d.ID, ContainerID: d.TenantID, OrganizationID: d.OrganizationID, DeploymentType: string(d.Type), Status: string(d.Status),
		Generation: d.Generation, NewImageTag: d.New.ImageTag, ImageDigest: orNull(d.New.ImageDigest), Blueprint: d.New.Blueprint, NewConfig: specOf(d.New),
		StartedAt: orNullTime(d.StartedAt), CompletedAt: orNullTime(d.CompletedAt), ErrorMessage: orNull(d.Error),
		CanRollback: d.CanRollback, RollbackDeploymentID: orNull(d.RollbackOf), DeployedBy: orNull(d.By),
		DeploymentNotes: orNull(d.Notes), CreatedAt: d.CreatedAt, EnvironmentChanged: d.EnvironmentChanged(), Steps: []stepWire{},
	}
	for _, s := range d.Steps {
		w.Steps = append(w.Steps, stepWire{s.Name, s.StartedAt, s.EndedAt, orNull(s.Error)})
	}
	if d.Previous != nil {
		spec := specOf(*d.Previous)
		w.PreviousConfig, w.PreviousImageTag = &spec, &spec.ImageTag
	}
	return w
}

// provisionedWire is the seed's answer to a provision, and a little more.
type provisionedWire struct {
	Success        bool   `json:"success"`
	OrganizationID string `json:"organizationId"`
	ContainerID    string `json:"containerId" doc:"the tenant's record"`
	ContainerName  string `json:"containerName"`
	ExternalPort   int    `json:"externalPort"`
	TenantURL      string `json:"tenantUrl"`
	ComposePath    string `json:"composePath"`
	Slug           string `json:"slug"`
	Status         string `json:"status"`
	DeploymentID   string `json:"deploymentId"`
}

func provisionedOf(r tenancy.Receipt) provisionedWire {
	return provisionedWire{
		Success: true, OrganizationID: r.Tenant.OrganizationID, ContainerID: r.Tenant.ID, ContainerName: r.Tenant.ContainerName(),
		ExternalPort: r.Tenant.ExternalPort, TenantURL: r.Tenant.URL, ComposePath: r.ComposePath, Slug: r.Tenant.Slug,
		Status: string(r.Tenant.Status), DeploymentID: r.Deployment.ID,
	}
}

// changedWire answers every other change.
type changedWire struct {
	Success      bool   `json:"success"`
	DeploymentID string `json:"deploymentId"`
	tenantWire
}

// deprovisionedWire answers a deprovisioning.
type deprovisionedWire struct {
	Success        bool     `json:"success"`
	OrganizationID string   `json:"organizationId"`
	DeploymentID   string   `json:"deploymentId"`
	Volumes        string   `json:"volumes" enum:"keep,delete"`
	KeptVolumes    []string `json:"keptVolumes" doc:"names in the engine; found again by a later provision"`
}

func (s *server) deprovisioned(r tenancy.Receipt) any {
	w := deprovisionedWire{
		Success: true, OrganizationID: r.Tenant.OrganizationID, DeploymentID: r.Deployment.ID,
		Volumes: string(r.Deployment.Volumes), KeptVolumes: []string{},
	}
	if r.Deployment.Volumes == berth.VolumesKeep {
		for _, v := range s.Service.Mounts(context.Background(), r.Tenant) {
			w.KeptVolumes = append(w.KeptVolumes, v.Name)
		}
	}
	return w
}

// stateWire is a tenant as the engine has it now, with one probe.
type stateWire struct {
	tenantWire
	Running         *bool           `json:"running" doc:"null while the engine does not answer"`
	Healthy         *bool           `json:"healthy" doc:"null while that is not known"`
	ResponseTimeMs  *int64          `json:"responseTimeMs"`
	HTTPStatusCode  *int            `json:"httpStatusCode"`
	ProbeStatus     *string         `json:"probeStatus" doc:"healthy, unhealthy or timeout"`
	ProbeError      *string         `json:"probeError"`
	CheckType       *string         `json:"checkType" doc:"http, tcp or engine"`
	CheckEndpoint   *string         `json:"checkEndpoint"`
	EngineReachable bool            `json:"engineReachable"`
	Containers      []containerWire `json:"containers"`
	DeploymentID    *string         `json:"deploymentId" doc:"of the deployment under way"`
	Step            *string         `json:"step"`
}

type containerWire struct {
	ID        string     `json:"containerId"`
	Name      string     `json:"containerName"`
	State     string     `json:"state"`
	ExitCode  *int       `json:"exitCode"`
	OOMKilled bool       `json:"oomKilled"`
	Restarts  int        `json:"restarts"`
	StartedAt *time.Time `json:"startedAt"`
}

func (s *server) stateWire(st tenancy.State) stateWire {
	w := stateWire{
		tenantWire: s.tenantWire(st.Tenant), EngineReachable: st.EngineReachable, Containers: []containerWire{},
	}
	if st.EngineReachable {
		healthy := st.Probe != nil && st.Probe.Status == berth.ProbeHealthy
		w.Running, w.Healthy = &st.Running, &healthy
	}
	if p := st.Probe; p != nil {
		w.ResponseTimeMs, w.ProbeError = tookOf(p.ResponseTime), orNull(p.Cause)
		w.ProbeStatus = orNull(string(p.Status))
		w.CheckType, w.CheckEndpoint = orNull(p.Type), orNull(p.Endpoint)
		if p.HTTPStatus != 0 {
			w.HTTPStatusCode = &p.HTTPStatus
		}
	}
	for _, c := range st.Observed.Instances {
		cw := containerWire{ID: c.ID, Name: c.Name, State: string(c.State), OOMKilled: c.OOMKilled, Restarts: c.Restarts, StartedAt: orNullTime(c.StartedAt)}
		if c.State != berth.InstanceRunning {
			cw.ExitCode = &c.ExitCode
		}
		w.Containers = append(w.Containers, cw)
	}
	if st.OpenDeployment != nil {
		w.DeploymentID = &st.OpenDeployment.ID
	}
	if st.Progress != nil {
		w.Step = orNull(st.Progress.Step)
	}
	return w
}
