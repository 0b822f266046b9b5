package berth

import "time"

// Key is one of the keys that encrypt what is stored, without the key itself.
type Key struct {
	ID        uint32
	CreatedAt time.Time // zero: before times were kept
	Primary   bool      // encrypts; the others only decrypt
}

// KeyUse is a key and what it still opens.
type KeyUse struct {
	Key
	Missing bool // values name it, and the key file does not hold it
	Sealed  int  // values that are sealed under it
}
