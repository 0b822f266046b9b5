package blueprint_test

import (
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/blueprint"
)

func TestWhatAnAliasStandsForIsHiddenByTheNameOfItsUse(t *testing.T) {
	got := string(blueprint.Redact([]byte("x-common: &pw hunter2\nservices:\n  app:\n    image: a:1\n    environment:\n      DB_PASSWORD: *pw\n")))
	if strings.Contains(got, "hunter2") {
		t.Error(got)
	}
}
