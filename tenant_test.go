package berth_test

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
)

func wantError(t *testing.T, err error, message, field string) {
	t.Helper()
	var e *berth.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error that says %q", err, message)
	}
	if e.Message != message || e.Field != field || e.Hint == "" {
		t.Errorf("got message %q, field %q, hint %q; want message %q, field %q and a hint", e.Message, e.Field, e.Hint, message, field)
	}
}

func TestOrganizationIDIsAUUIDAndStoredInLowerCase(t *testing.T) {
	id, err := berth.ParseOrganizationID("550E8400-E29B-41D4-A716-446655440001")
	if err != nil || id != "550e8400-e29b-41d4-a716-446655440001" {
		t.Errorf("got %q, %v", id, err)
	}
	for _, bad := range []string{"", "invalid-uuid", "550e8400e29b41d4a716446655440001", "550e8400-e29b-41d4-a716-44665544000g",
		"550e8400-e29b-41d4-a716-446655440001\n", "../550e8400-e29b-41d4-a716-446655440001", "ſ50e8400-e29b-41d4-a716-446655440001"} {
		_, err := berth.ParseOrganizationID(bad)
		wantError(t, err, "Invalid organization ID format", "organizationId")
	}
}

func TestTenantNameHas1To100Characters(t *testing.T) {
	for _, good := range []string{"A", "Test Tenant", strings.Repeat("é", 100), strings.Repeat("🚢", 100), "O'Brien & \"Söhne\": <b>", "\u202eevil", "../etc", "${X}", "a\u00a0b"} {
		if err := berth.ValidateName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	const length = "Tenant name must be 1-100 characters"
	for bad, message := range map[string]string{
		"": length, "   ": length, strings.Repeat("x", 101): length, strings.Repeat("🚢", 101): length,
		"a\nb": "Tenant name must not contain control characters", "a\x00b": "Tenant name must not contain control characters",
		"a\x7fb": "Tenant name must not contain control characters", "a\xffb": "Tenant name must be valid UTF-8",
	} {
		wantError(t, berth.ValidateName(bad), message, "tenantName")
	}
}

func TestLimitsFollowTheSeedsRules(t *testing.T) {
	const cpu, memory = "CPU limit must be between 0 and 4.0", "Memory limit must be between 256MB and 8192MB"
	for _, c := range []struct {
		limits         berth.Limits
		message, field string
	}{
		{berth.Limits{CPU: 0.01, MemoryMB: 256, DiskMB: 1024}, "", ""},
		{berth.Limits{CPU: 4, MemoryMB: 8192, DiskMB: 1 << 20}, "", ""},
		{berth.DefaultLimits(), "", ""},
		{berth.Limits{CPU: 0, MemoryMB: 512, DiskMB: 2048}, cpu, "cpuLimit"},
		{berth.Limits{CPU: -1, MemoryMB: 512, DiskMB: 2048}, cpu, "cpuLimit"},
		{berth.Limits{CPU: 4.01, MemoryMB: 512, DiskMB: 2048}, cpu, "cpuLimit"},
		{berth.Limits{CPU: 5, MemoryMB: 512, DiskMB: 2048}, cpu, "cpuLimit"},
		{berth.Limits{CPU: 0.001, MemoryMB: 512, DiskMB: 2048}, cpu, "cpuLimit"},
		{berth.Limits{CPU: math.NaN(), MemoryMB: 512, DiskMB: 2048}, cpu, "cpuLimit"},
		{berth.Limits{CPU: math.Inf(1), MemoryMB: 512, DiskMB: 2048}, cpu, "cpuLimit"},
		{berth.Limits{CPU: 1, MemoryMB: 255, DiskMB: 2048}, memory, "memoryLimitMb"},
		{berth.Limits{CPU: 1, MemoryMB: 8193, DiskMB: 2048}, memory, "memoryLimitMb"},
		{berth.Limits{CPU: 1, MemoryMB: 512, DiskMB: 1023}, "Disk limit must be at least 1024MB", "diskLimitMb"},
	} {
		err := c.limits.Validate()
		if c.message == "" {
			if err != nil {
				t.Errorf("%+v: %v", c.limits, err)
			}
			continue
		}
		wantError(t, err, c.message, c.field)
	}
}

func TestAnEngineGivesNoMoreCPUThanItHas(t *testing.T) {
	for _, c := range []struct {
		asked float64
		cores int
		want  float64
	}{{4, 2, 2}, {0.5, 2, 0.5}, {2, 2, 2}, {4, 0, 4}} {
		if got := (berth.Limits{CPU: c.asked}).EffectiveCPU(c.cores); got != c.want {
			t.Errorf("%v on %d cores: %v, want %v", c.asked, c.cores, got, c.want)
		}
	}
}

func TestSlugIsStrictASCIIWhateverTheName(t *testing.T) {
	const org = "550e8400-e29b-41d4-a716-446655440001"
	for name, want := range map[string]string{
		"Acme Corp":             "acme-corp",
		"  --Söhne & Töchter--": "s-hne-t-chter",
		"🚢🚢":                    "tenant-550e8400",
		"../../etc/passwd":      "etc-passwd",
		org:                     "550e8400-e29b-41d4-a716-446655440001"[:0] + "tenant-550e8400",
	} {
		got := berth.SlugFrom(name, org)
		if got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		if err := berth.ValidateSlug(got); err != nil {
			t.Errorf("%q: %v", got, err)
		}
	}
	for _, bad := range []string{"", "-a", "a-", "A", "a.b", "a_b", strings.Repeat("a", 64), org, "a\n"} {
		if berth.ValidateSlug(bad) == nil {
			t.Errorf("%q is taken as a slug", bad)
		}
	}
}

func TestEnvironmentIsByteExactOrRefused(t *testing.T) {
	if err := berth.ValidateEnvironment(map[string]string{"A": "line\nbreak $X \"q\" 'q' = \\ \t 🚢", "_b9": ""}); err != nil {
		t.Error(err)
	}
	for name, value := range map[string]string{
		"A\x00": "", "1A": "", "A=B": "", "": "", "A B": "", "TENANT_ID": "x", "PORT": "80",
		"NUL": "a\x00b", "BAD": "\xff", "BIG": strings.Repeat("x", 64<<10+1),
	} {
		if berth.Is(berth.ValidateEnvironment(map[string]string{name: value}), berth.CodeInvalidEnvironment) == false {
			t.Errorf("%q=%q is accepted", name, value)
		}
	}
}

func TestABareTagSelectsTheBlueprintsImage(t *testing.T) {
	for tag, want := range map[string]string{
		"latest": "app:latest", "v1.2.3": "app:v1.2.3", "other:v2": "other:v2", "reg.example.com:5000/a/b:c": "reg.example.com:5000/a/b:c",
		"127.0.0.1:5000/app@sha256:" + strings.Repeat("a", 64): "127.0.0.1:5000/app@sha256:" + strings.Repeat("a", 64),
	} {
		if got, err := berth.ImageReference("app", tag); err != nil || got != want {
			t.Errorf("%q: %q, %v", tag, got, err)
		}
	}
	for _, bad := range []string{"", "-v", "a b", "v1;rm", "UP/Per", "a/b:", "a@sha256:12", "../x", "a//b", strings.Repeat("a", 500), "x/y:\n"} {
		if _, err := berth.ImageReference("app", bad); !berth.Is(err, berth.CodeInvalidImage) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestFreeSubnetIsTheLowestThatOverlapsNothing(t *testing.T) {
	pool := netip.MustParsePrefix("10.64.0.0/24")
	p := netip.MustParsePrefix
	for _, c := range []struct {
		taken []netip.Prefix
		want  string
	}{
		{nil, "10.64.0.0/28"},
		{[]netip.Prefix{p("10.64.0.0/28"), p("10.64.0.32/28")}, "10.64.0.16/28"},
		{[]netip.Prefix{p("10.64.0.0/26")}, "10.64.0.64/28"},
		{[]netip.Prefix{p("10.64.0.5/32")}, "10.64.0.16/28"},
		{[]netip.Prefix{p("10.0.0.0/8")}, ""},
		{[]netip.Prefix{p("192.168.0.0/16"), p("fd00::/8")}, "10.64.0.0/28"},
		{[]netip.Prefix{p("10.64.0.0/25"), p("10.64.0.128/25")}, ""},
	} {
		got, err := berth.FreeSubnet(pool, c.taken)
		if c.want == "" {
			if !berth.Is(err, berth.CodeNoSubnets) {
				t.Errorf("%v: %v, %v", c.taken, got, err)
			}
			continue
		}
		if err != nil || got.String() != c.want {
			t.Errorf("%v: %v, %v; want %s", c.taken, got, err, c.want)
		}
	}
	if _, err := berth.FreeSubnet(netip.MustParsePrefix("255.255.255.240/28"), []netip.Prefix{p("255.255.255.240/28")}); !berth.Is(err, berth.CodeNoSubnets) {
		t.Error("the end of the address space is not the end of the search")
	}
}

func TestEveryCodeHasAKind(t *testing.T) {
	for _, code := range []berth.Code{berth.CodeTenantExists, berth.CodeNoPorts, berth.CodeDataMissing, berth.CodeSubnetTaken} {
		if code.Kind() == berth.KindInternal {
			t.Errorf("%s has no kind", code)
		}
	}
}

func TestNoTenantIsCalledLikeAPathOfTheAPI(t *testing.T) {
	const org = "550e8400-e29b-41d4-a716-446655440000"
	for name, slug := range map[string]string{"Health Check": "health-check", "provision!": "provision"} {
		if err := berth.ValidateSlug(slug); berth.CodeOf(err) != berth.CodeInvalidSlug || !strings.Contains(err.Error(), "reserved") {
			t.Errorf("%s: %v", slug, err)
		}
		if got := berth.SlugFrom(name, org); got != "tenant-550e8400" {
			t.Errorf("%s becomes %s", name, got)
		}
	}
	if err := berth.ValidateSlug("health-checks"); err != nil {
		t.Error(err)
	}
}

func TestIdsOfHistoryFollowTheirTime(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	before := berth.NewHistoryID(at)
	after := berth.NewHistoryID(at.Add(time.Millisecond))
	if !berth.IsUUID(before) || !berth.IsUUID(after) || before >= after || before[14] != '7' {
		t.Errorf("%s, then %s", before, after)
	}
	if before == berth.NewHistoryID(at) {
		t.Error("two of one moment are the same")
	}
}
