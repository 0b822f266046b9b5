package postgres_test

import (
	"testing"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, login(lent(t))) })
}
