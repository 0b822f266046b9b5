package e2e_test

import (
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
)

// descriptors are how many files and connections a process has open.
func (s *site) descriptors(pid int) int {
	s.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	s.Must(err)
	return len(entries)
}

// 1,500 followed logs of one read-only token took all descriptors of Berth, and
// three for each of the Engine's.
func TestAReaderWhoFollowsWithoutEndTakesLittle(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	org := berth.NewID()
	tenant := s.provision(client.Provision{OrganizationID: org, TenantName: "Followed", Start: true})
	made, err := s.api.CreateToken(s.Ctx, client.NewToken{Name: "reader", Role: "member", OrganizationID: org})
	s.Must(err)
	before := s.descriptors(s.process.Pid())
	var taken, refused int
	var mu sync.Mutex
	var asking sync.WaitGroup
	reader := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	defer reader.CloseIdleConnections()
	slots := make(chan struct{}, 100)
	for range 1500 {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			req, err := http.NewRequestWithContext(s.Ctx, http.MethodGet, s.process.URL+"/api/tenants/"+org+"/logs?follow=true", nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+made.Text)
			resp, err := reader.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if resp.StatusCode == http.StatusOK {
				taken++
				t.Cleanup(func() { _ = resp.Body.Close() })
				return
			}
			if refused++; resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
			_ = resp.Body.Close()
		})
	}
	asking.Wait()
	if taken == 0 || taken > 20 || taken+refused != 1500 {
		t.Errorf("%d streams were taken and %d refused", taken, refused)
	}
	// One for each connection, one for the stream of the Engine that they share,
	// and some for what goes on beside.
	s.Eventually(30*time.Second, "what was refused is closed", func() bool { return s.descriptors(s.process.Pid()) <= before+taken+20 })
	if !s.Serves(tenant.ExternalPort, "1") {
		t.Error("the tenant does not answer beside it")
	}
	s.Must(s.api.RevokeToken(s.Ctx, made.ID))
	s.Eventually(30*time.Second, "the streams end with their token", func() bool { return s.descriptors(s.process.Pid()) <= before+taken/2 })
}
