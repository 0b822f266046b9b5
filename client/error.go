package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxProblem bounds what is read of an error's answer.
const maxProblem = 1 << 20

// Error is an answer of 300 or above.
type Error struct {
	Status       int           // HTTP's
	Code         string        // stable, machine-readable, such as "tenant_exists"
	Message      string        // one sentence
	Hint         string        // what to do; may be empty
	Field        string        // the input at fault; may be empty
	DeploymentID string        // of the deployment that failed; may be empty
	Findings     []Finding     // all that is wrong with a blueprint; may be empty
	RequestID    string        // finds the request in the server's log
	RetryAfter   time.Duration // 0 unless the server asks to wait
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (" + e.Hint + ")"
}

func readError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, RequestID: resp.Header.Get("X-Request-Id")}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	var p struct {
		Error, Code, Hint, Field, DeploymentID string
		Findings                               []Finding
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil || p.Error == "" {
		e.Code = "unexpected_answer"
		e.Message = fmt.Sprintf("The server answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
		e.Hint = "check that the URL is a Berth's"
		return e
	}
	e.Code, e.Message, e.Hint, e.Field, e.DeploymentID = p.Code, p.Error, p.Hint, p.Field, p.DeploymentID
	e.Findings = p.Findings
	return e
}
