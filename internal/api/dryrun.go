package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

// Dry is what an order may carry that can be tried.
type Dry struct {
	DryRun bool `query:"dryRun" doc:"change nothing, and answer with the steps that would be taken"`
}

func (d Dry) tried(call tenancy.Call) tenancy.Call {
	call.DryRun = d.DryRun
	return call
}

// forecastWire answers an order that was only tried.
type forecastWire struct {
	Success        bool   `json:"success"`
	DryRun         bool   `json:"dryRun" doc:"true: nothing was changed"`
	OrganizationID string `json:"organizationId"`
	DeploymentType string `json:"deploymentType"`

	Changes []forecastChangeWire `json:"changes" doc:"what the tenant would be, where that is something else than now"`
	Steps   []forecastStepWire   `json:"steps" doc:"in the order in which they would be taken"`

	LeftBehind []string `json:"leftBehind" doc:"where a service would begin empty, and in which volumes the data stays, in words; only with leaveData, for without it that is refused"`

	Downtime           bool    `json:"downtime" doc:"requests that are answered now would wait or be refused, for a while or from then on"`
	ServedBefore       bool    `json:"servedBefore" doc:"requests are answered as things stand"`
	ServesAfter        bool    `json:"servesAfter" doc:"and would be in the end"`
	HeldAtMostSeconds  float64 `json:"heldAtMostSeconds" doc:"for how long requests may be kept waiting, all in all"`
	TotalAtMostSeconds float64 `json:"totalAtMostSeconds" doc:"for how long all of it may take, if each step takes as long as it may"`
	Failure            *string `json:"failure" doc:"why it would fail; null if nothing that can be seen now makes it"`
}

type forecastChangeWire struct {
	Field string  `json:"field" doc:"as the tenant calls it; environment.NAME for a variable"`
	From  *string `json:"from" doc:"null where there was none; of a variable, never its value"`
	To    *string `json:"to" doc:"the same"`
}

type forecastStepWire struct {
	Name          string  `json:"name" doc:"as a deployment's steps call it; wait, observe and refuse requests are none of those"`
	Text          string  `json:"text" doc:"what it does, for people"`
	Service       *string `json:"service" doc:"null where it is about the whole tenant"`
	Instances     []int   `json:"instances" doc:"of the service, by number"`
	Stops         bool    `json:"stops" doc:"something that runs is stopped"`
	Holds         bool    `json:"holds" doc:"requests are kept waiting meanwhile"`
	AtMostSeconds float64 `json:"atMostSeconds" doc:"for how long it may take; 0: at once"`
}

func forecastOf(r tenancy.Receipt) forecastWire {
	f := r.Forecast
	w := forecastWire{
		Success: true, DryRun: true, OrganizationID: r.Tenant.OrganizationID, DeploymentType: string(r.Deployment.Type),
		Changes: []forecastChangeWire{}, Steps: []forecastStepWire{}, LeftBehind: append([]string{}, f.LeftBehind...),
		Downtime: f.Downtime, ServedBefore: f.ServedBefore, ServesAfter: f.ServesAfter,
		HeldAtMostSeconds: inSeconds(f.HeldAtMost), TotalAtMostSeconds: inSeconds(f.AtMost), Failure: orNull(f.Failure),
	}
	for _, c := range f.Changes {
		w.Changes = append(w.Changes, forecastChangeWire{c.Field, orNull(c.From), orNull(c.To)})
	}
	for _, s := range f.Steps {
		w.Steps = append(w.Steps, forecastStepWire{s.Name, s.Text, orNull(s.Service), append([]int{}, s.Replicas...), s.Stops, s.Holds, inSeconds(s.AtMost)})
	}
	return w
}

// inSeconds is exact to the millisecond.
func inSeconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// foretold answers a dry run.
func foretold(r tenancy.Receipt) (*answer, error) {
	data, err := json.Marshal(forecastOf(r))
	if err != nil {
		return nil, berth.Errorf(berth.CodeInternal, "encode answer: %w", err)
	}
	return answerOf(http.StatusOK, append(data, '\n')), nil
}

// triable describes an order that can be tried: done, it answers as ever.
func (s *server) triable(op huma.Operation) huma.Operation {
	forecast := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[forecastWire](), true, "")
	done := op.Responses["200"].Content["application/json"].Schema
	op.Responses["200"] = &huma.Response{
		Description: "done; or, of a dry run, what would be done",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{done, forecast}}}},
	}
	return op
}
