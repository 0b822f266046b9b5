package postgres_test

import (
	"testing"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
	"github.com/unite-hub/berth/internal/store/storetest"
)

func TestStore(t *testing.T) {
	all := postgres.NewRecorder()
	storetest.Run(t, func(t *testing.T) store.Store { return recorded(t, login(lent(t)), all) })
	t.Run("every statement finds its rows by an index", func(t *testing.T) { checkPlans(t, all) })
}

// A pooler that gives each transaction another connection keeps no prepared
// statements. The simple protocol is the odd one of the two modes for it: it
// writes values into the statement.
func TestStoreThroughAPoolerOfTransactions(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, login(lent(t))+"&default_query_exec_mode=simple_protocol")
	})
}
