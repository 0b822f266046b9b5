package move

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"github.com/unite-hub/berth/internal/store"
)

// parts is into how many the rows of a table are divided by their keys: to find
// one that differs, a part is held in memory, not the table.
const parts = 1024

type digest [4]uint64

// total is what the rows of each part come to, in whatever order they are.
type total [parts]struct {
	rows int64
	sum  digest
}

// sum sums up the rows of a table.
type sum struct {
	table store.Table
	keys  []int // columns
	total *total
	text  []byte // of the present row
}

func newSum(t store.Table) *sum {
	s := &sum{table: t, total: new(total)}
	for i, c := range t.Columns {
		if slices.Contains(t.Key, c.Name) {
			s.keys = append(s.keys, i)
		}
	}
	return s
}

// row is add for store.Rows.
func (s *sum) row(r store.Row) error {
	s.add(r)
	return nil
}

func (s *sum) add(r store.Row) {
	p := &s.total[s.part(r)]
	p.rows++
	for i, word := range s.digest(r) {
		p.sum[i] += word // two changes that cancel out in all of 256 bits do not happen
	}
}

func (s *sum) part(r store.Row) int {
	h := fnv.New32a()
	for _, i := range s.keys {
		_, _ = h.Write(r[i]) // a hash never fails
	}
	return int(h.Sum32() % parts)
}

// digest is the SHA-256 of a row: each value with its length before it, NULL
// with another one.
func (s *sum) digest(r store.Row) (d digest) {
	s.text = s.text[:0]
	for _, v := range r {
		n := uint64(len(v)) + 1
		if v == nil {
			n = 0
		}
		s.text = append(binary.BigEndian.AppendUint64(s.text, n), v...)
	}
	of := sha256.Sum256(s.text)
	for i := range d {
		d[i] = binary.BigEndian.Uint64(of[8*i:])
	}
	return d
}

func (s *sum) rows() (n int64) {
	for _, p := range s.total {
		n += p.rows
	}
	return n
}
