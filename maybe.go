package berth

// Maybe is a value that may not be known. Unknown is not zero: it is stored as
// NULL and shown as such.
type Maybe[T any] struct {
	Value T
	Known bool
}

// Known returns a value that is known.
func Known[T any](v T) Maybe[T] { return Maybe[T]{v, true} }

// Pointer returns nil for what is not known.
func (m Maybe[T]) Pointer() *T {
	if !m.Known {
		return nil
	}
	return &m.Value
}
