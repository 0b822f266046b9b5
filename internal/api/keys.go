package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/unite-hub/berth"
)

type keyWire struct {
	ID        uint32     `json:"id"`
	CreatedAt *time.Time `json:"createdAt" doc:"null: before times were kept"`
	Primary   bool       `json:"primary" doc:"encrypts; the others only decrypt"`
	Missing   bool       `json:"missing" doc:"stored values name it, and the key file does not hold it; 0 stands for values that no key made"`
	Sealed    int        `json:"sealed" doc:"stored values that it still opens"`
}

type keyList struct {
	Keys []keyWire `json:"keys"`
}

type keyInput struct {
	ID string `path:"keyId"`
}

func keyOf(k berth.KeyUse) keyWire {
	return keyWire{k.ID, orNullTime(k.CreatedAt), k.Primary, k.Missing, k.Sealed}
}

// keyRoutes are about the keys that encrypt what is stored. No key is ever
// shown.
func (s *server) keyRoutes() {
	secured(s, operation(http.MethodGet, "/api/keys", "keys", "Keys that encrypt what is stored, and how much is sealed under each"), func(ctx context.Context, actor berth.Actor, _ *none) (*body[keyList], error) {
		list, err := s.Service.ListKeys(ctx, actor)
		out := keyList{Keys: []keyWire{}}
		for _, k := range list {
			out.Keys = append(out.Keys, keyOf(k))
		}
		return &body[keyList]{out}, err
	})
	rotate := s.takes(operation(http.MethodPost, "/api/keys/rotate", "rotate-key", "Make a key that encrypts from now on; what is stored is sealed anew in the background"), emptyBody{})
	rotate.DefaultStatus = http.StatusCreated
	secured(s, rotate, func(ctx context.Context, actor berth.Actor, in *BareInput) (*body[keyWire], error) {
		if err := in.empty(); err != nil {
			return nil, err
		}
		k, err := s.Service.RotateKey(ctx, actor)
		return &body[keyWire]{keyOf(berth.KeyUse{Key: k})}, err
	})
	secured(s, operation(http.MethodDelete, "/api/keys/{keyId}", "retire-key", "Remove a key that nothing is sealed under"), func(ctx context.Context, actor berth.Actor, in *keyInput) (*none, error) {
		id, err := strconv.ParseUint(in.ID, 10, 32)
		if err != nil {
			id = 0 // no key's; whether the actor may ask comes first
		}
		return nil, s.Service.RetireKey(ctx, actor, uint32(id))
	})
}
