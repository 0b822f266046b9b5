package store

import (
	"slices"
	"strings"
)

// Table is what every store keeps of one kind, in terms of no database. A store
// moves into another table by table.
type Table struct {
	Name    string
	Key     []string // columns that tell its rows apart
	Order   string   // column in whose order rows were written; "" where that means nothing
	Columns []Column
}

// Column is one value of a row.
type Column struct {
	Name string
	Kind Kind
}

// Kind is what a column holds, and how Canonical writes it.
type Kind string

const (
	KindText   Kind = "text"   // what programs say included: NUL and what is no UTF-8 becomes U+FFFD, which every database can keep
	KindExact  Kind = "exact"  // text that a hash covers: never changed
	KindInt    Kind = "int"    // decimal
	KindCenti  Kind = "centi"  // a number to the hundredth, as PostgreSQL keeps it
	KindFlag   Kind = "flag"   // "true" or "false"
	KindTime   Kind = "time"   // RFC 3339, UTC, six digits of the second
	KindJSON   Kind = "json"   // without spaces, names sorted; numbers without exponent
	KindBytes  Kind = "bytes"  // hex
	KindScopes Kind = "scopes" // names, with spaces between them
)

// Row is one row, its values canonical and in the order of the table's columns;
// nil is NULL. It holds until the next one is asked for.
type Row [][]byte

// tables are written as name, key and order, then columns with their kinds.
// Each comes after those that it refers to.
var tables = [][2]string{
	{"installation id", "id created_at:time ciphertext:bytes"},
	{"organizations id", "id name self_service:scopes created_at:time"},
	{"users id", "id email email_key name operator:flag created_at:time disabled_at:time"},
	{"identities issuer,subject", "issuer subject user_id"},
	{"memberships user_id,organization_id", "user_id organization_id role created_at:time"},
	{"sessions id seq", "id hash:bytes user_id address created_at:time expires_at:time last_seen_at:time revoked_at:time seq:int"},
	{"invitations id seq", "id hash:bytes email organization_id role created_by created_at:time expires_at:time accepted_at:time accepted_by " +
		"revoked_at:time seq:int"},
	{"tokens id seq", "id name prefix hash:bytes role organization_id scopes:scopes created_by created_at:time expires_at:time last_used_at:time " +
		"revoked_at:time seq:int"},
	{"blueprints name,version seq", "name version:int hash source:bytes created_at:time created_by seq:int"},
	{"secret_versions id", "id organization_id name ciphertext:bytes created_at:time"},
	{"registry_credentials registry", "registry username ciphertext:bytes updated_at:time"},
	{"tenant_containers id seq", "id organization_id tenant_name container_id container_name image_tag external_port:int internal_port:int tenant_url " +
		"cpu_limit:centi memory_limit_mb:int disk_limit_mb:int status last_started_at:time last_stopped_at:time health_status last_health_check_at:time " +
		"environment_vars:json volume_mounts:json created_at:time updated_at:time created_by slug search_text engine_id subnet want generation:int " +
		"image_digest blueprint replicas:int cause deprovisioned_at:time revision:int seq:int image_pins:json release:int released:int"},
	{"tenant_deployments id seq", "id container_id deployment_type status previous_image_tag new_image_tag previous_config:json new_config:json " +
		"started_at:time completed_at:time error_message can_rollback:flag rollback_deployment_id deployed_by deployment_notes created_at:time " +
		"organization_id generation:int want previous_want volumes seq:int adopt:flag steps:json"},
	{"tenant_health id seq", "id container_id checked_at:time status response_time_ms:int http_status_code:int error_message cpu_usage_percent:centi " +
		"memory_usage_mb:int disk_usage_mb:int check_type check_endpoint created_at:time organization_id seq:int"},
	{"tenant_health_rollups container_id,resolution,period_start", "container_id organization_id resolution period_start:time healthy_count:int " +
		"unhealthy_count:int timeout_count:int response_time_ms_total:int response_time_ms_max:int"},
	{"tenant_resource_usage id", "id container_id recorded_at:time period_start:time period_end:time cpu_usage_percent_avg:centi " +
		"cpu_usage_percent_max:centi cpu_throttling_count:int memory_usage_mb_avg:int memory_usage_mb_max:int memory_limit_mb:int oom_kill_count:int " +
		"network_rx_bytes:int network_tx_bytes:int disk_usage_mb:int disk_io_read_mb:int disk_io_write_mb:int request_count:int error_count:int " +
		"avg_response_time_ms:int created_at:time organization_id resolution memory_usage_bytes_avg:int memory_usage_bytes_max:int disk_usage_bytes:int " +
		"disk_io_read_bytes:int disk_io_write_bytes:int avg_response_time_us:int samples:int"},
	{"usage_marks organization_id", "organization_id period_end:time counters:json"},
	{"volumes name", "name organization_id mount engine_id created_at:time kept_at:time deleted_at:time"},
	{"requests actor_id,idempotency_key", "actor_id idempotency_key fingerprint:bytes deployment_id status:int answer:bytes created_at:time"},
	{"events id seq", "id organization_id occurred_at:time kind message seq:int deployment_id"},
	{"channels id seq", "id organization_id type target ciphertext:bytes kinds:json enabled:flag failing_since:time last_error created_at:time created_by " +
		"not_before:int seq:int"},
	{"deliveries id seq", "id channel_id event_id kind body:bytes created_at:time attempt:int at:time status_code:int error duration_ms:int next_at:time " +
		"state seq:int"},
	{"outbox seq", "seq:int"},
	{"pulled_images engine_id,pin", "engine_id pin reference pulled_at:time"},
	{"foreign_objects engine_id,kind,object_id", "engine_id kind object_id found_at:time"},
	{"audit_log id seq", "seq:int id:exact organization_id:exact chain_seq:int occurred_at:time actor_id:exact actor_name:exact actor_role:exact " +
		"address:exact request_id:exact action:exact target:exact outcome:exact code:exact before:exact after:exact prev_hash:bytes hash:bytes"},
}

// Tables are those of an installation, each after those that it refers to.
// What a store makes of others, and leases, are not among them.
func Tables() []Table {
	list := make([]Table, 0, len(tables))
	for _, text := range tables {
		head := strings.Fields(text[0])
		t := Table{Name: head[0], Key: strings.Split(head[1], ",")}
		if len(head) > 2 {
			t.Order = head[2]
		}
		for _, word := range strings.Fields(text[1]) {
			name, kind, ok := strings.Cut(word, ":")
			if !ok {
				kind = string(KindText)
			}
			t.Columns = append(t.Columns, Column{name, Kind(kind)})
		}
		list = append(list, t)
	}
	return list
}

// KeyOf is what tells a row apart, for people to find it by.
func (t Table) KeyOf(r Row) string {
	var parts []string
	for i, c := range t.Columns {
		if slices.Contains(t.Key, c.Name) {
			parts = append(parts, string(r[i]))
		}
	}
	return strings.Join(parts, " ")
}
