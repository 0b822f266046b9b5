package postgres

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
)

// Restore fills a database that holds nothing yet from a backup, and reads back
// what it wrote. The login must own the schema. All of it is there afterwards,
// or nothing.
func (s *Store) Restore(ctx context.Context, file string) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	const op = "restore database"
	f, err := os.Open(file)
	if err != nil {
		return berth.Errorf(berth.CodeInvalidRequest, "The backup can't be read: %w", err).WithOp(op, "").WithHint("name a file that berth backup has written")
	}
	defer f.Close() // read only
	return s.alone(ctx, op, func(c *pgx.Conn) error {
		if err := seek(f); err != nil {
			return err
		}
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return fill(ctx, tx, f) })
	})
}

// fill works as the owner of the tables, who is let past row-level security
// until the transaction ends: COPY does not write where it applies.
func fill(ctx context.Context, tx pgx.Tx, f io.Reader) error {
	for _, statement := range []string{plain, queue} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	there, err := tablesOf(ctx, tx)
	if err != nil {
		return err
	}
	if err := force(ctx, tx, there, false); err != nil {
		return err
	}
	if err := mustBeEmpty(ctx, tx, there); err != nil {
		return err
	}
	have, err := recorded(ctx, tx)
	if err != nil {
		return err
	}
	written, err := readBackup(f, func(head backupHead, t backupTable, rows io.Reader) error {
		if head.Schema != have {
			return berth.Errorf(berth.CodeInvalidRequest, "The backup is of schema version %d, the database has %d", head.Schema, have).
				WithHint("restore it with the Berth that wrote it, then upgrade")
		}
		known := func(k backupTable) bool {
			return k.Table == t.Table && slices.Equal(sorted(k.Columns), sorted(t.Columns))
		}
		if !slices.ContainsFunc(there, known) {
			return berth.Errorf(berth.CodeInvalidRequest, "The database has no table %s like the backup's", berth.Quote(t.Table)).
				WithHint("restore into a database that berth migrate made")
		}
		_, err := tx.Conn().PgConn().CopyFrom(ctx, rows, `COPY `+t.quoted()+` (`+quoted(t.Columns)+`) FROM STDIN`)
		return err
	})
	if err != nil {
		return err
	}
	if err := compare(ctx, tx, there, written); err != nil {
		return err
	}
	if err := numberOn(ctx, tx); err != nil {
		return err
	}
	return force(ctx, tx, there, true)
}

// force turns row-level security on or off for the owner of Berth's tables.
func force(ctx context.Context, tx pgx.Tx, tables []backupTable, on bool) error {
	how := ` NO FORCE ROW LEVEL SECURITY`
	if on {
		how = ` FORCE ROW LEVEL SECURITY`
	}
	for _, t := range tables {
		if t.foreign {
			continue
		}
		if _, err := tx.Exec(ctx, `ALTER TABLE `+t.quoted()+how); err != nil {
			return err
		}
	}
	return nil
}

// compare reads what was restored.
func compare(ctx context.Context, tx pgx.Tx, there []backupTable, written backupRead) error {
	for _, t := range there {
		want := tableSum{Table: t.Table, Sum: (&rowSum{}).of("").Sum}
		if i := slices.IndexFunc(written.sums, func(s tableSum) bool { return s.Table == t.Table }); i >= 0 {
			want, t.Columns = written.sums[i], written.columns[t.Table]
		}
		got, err := copyTable(ctx, tx, t, io.Discard)
		if err != nil {
			return err
		}
		if got != want {
			return storage(fmt.Errorf("%s: %+v, want %+v", t.Table, got, want), "check restored database",
				"the server changed what was written; look for triggers of others on that table")
		}
	}
	return nil
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

// mustBeEmpty refuses a database in use. What Open writes makes way.
func mustBeEmpty(ctx context.Context, tx pgx.Tx, tables []backupTable) error {
	for _, t := range tables {
		if t.Table == "berth.installation" || t.Table == "berth.outbox" {
			if _, err := tx.Exec(ctx, `DELETE FROM `+t.quoted()); err != nil {
				return err
			}
			continue
		}
		var used bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+t.quoted()+`)`).Scan(&used); err != nil {
			return err
		}
		if used {
			return berth.Errorf(berth.CodeInvalidRequest, "The database is in use: %s holds rows", t.Table).
				WithHint("restore into an empty database")
		}
	}
	return nil
}

// numberOn lets the numbers go on after those that are there.
func numberOn(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT format('%I.%I', n.nspname, c.relname), a.attname::text,
		pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname)
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE a.attidentity <> '' AND (n.nspname = 'berth' OR n.nspname = 'public' AND c.relname LIKE 'tenant\_%')`)
	if err != nil {
		return err
	}
	numbers, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n [3]string, err error) {
		err = row.Scan(&n[0], &n[1], &n[2])
		return n, err
	})
	if err != nil {
		return err
	}
	for _, n := range numbers {
		_, err := tx.Exec(ctx, `SELECT setval('`+n[2]+`', last) FROM (SELECT max(`+pgx.Identifier{n[1]}.Sanitize()+`) AS last FROM `+n[0]+`) m WHERE last IS NOT NULL`)
		if err != nil {
			return err
		}
	}
	return nil
}

// backupRead is what was in a backup.
type backupRead struct {
	sums    []tableSum
	columns map[string][]string
}

// readBackup reads a backup whole and checks it. take gets the rows of each
// table and need not read them; nil reads only.
func readBackup(f io.Reader, take func(backupHead, backupTable, io.Reader) error) (backupRead, error) {
	read := backupRead{columns: map[string][]string{}}
	broken := func(why string, err error) (backupRead, error) {
		return backupRead{}, (&berth.Error{Code: berth.CodeInvalidRequest, Op: "read backup", Message: "The backup is damaged: " + why, Err: err}).
			WithHint("use another backup")
	}
	compressed, err := gzip.NewReader(f)
	if err != nil {
		return broken("it is no gzip file", err)
	}
	r := bufio.NewReader(compressed)
	var head backupHead
	if err := readLine(r, &head); err != nil || head.Format != backupFormat || head.FormatVersion != backupVersion {
		return broken("it does not begin as one of "+backupFormat, err)
	}
	for {
		var next struct {
			backupTable
			backupTail
		}
		if err := readLine(r, &next); err != nil {
			return broken("it ends too early", err)
		}
		if next.Table == "" {
			if !slices.Equal(next.Tables, read.sums) {
				return broken("its rows are not those that were written", nil)
			}
			if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
				return broken("something follows its end", err)
			}
			return read, nil
		}
		rows := &rowReader{from: r}
		sum := &rowSum{to: io.Discard}
		if take != nil {
			if err := take(head, next.backupTable, io.TeeReader(rows, sum)); err != nil {
				return backupRead{}, err
			}
		}
		if _, err := io.Copy(sum, rows); err != nil {
			return broken("it ends too early", err)
		}
		read.sums = append(read.sums, sum.of(next.Table))
		read.columns[next.Table] = next.Columns
	}
}

func readLine(r *bufio.Reader, dst any) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, dst)
}

// rowReader reads the rows of one table, until the line that ends them.
type rowReader struct {
	from *bufio.Reader
	line []byte // what is left of the present one
	over bool
}

// Read implements io.Reader.
func (r *rowReader) Read(p []byte) (int, error) {
	if len(r.line) == 0 && !r.over {
		line, err := r.from.ReadBytes('\n')
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		r.line, r.over = line, string(line) == endOfTable+"\n"
	}
	if r.over {
		return 0, io.EOF
	}
	n := copy(p, r.line)
	r.line = r.line[n:]
	return n, nil
}

// rowSum sums up the rows that pass.
type rowSum struct {
	to   io.Writer
	rows int64
	sum  [4]uint64
	part []byte // of a row that is not complete
}

// Write implements io.Writer.
func (s *rowSum) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		s.part, rest = append(s.part, line...), after
		if whole {
			hash := sha256.Sum256(s.part)
			var carry uint64
			for i := range s.sum {
				s.sum[i], carry = bits.Add64(s.sum[i], binary.LittleEndian.Uint64(hash[8*i:]), carry)
			}
			s.rows, s.part = s.rows+1, s.part[:0]
		}
	}
	return s.to.Write(p)
}

func (s *rowSum) of(table string) tableSum {
	var b []byte
	for _, word := range s.sum {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return tableSum{table, s.rows, hex.EncodeToString(b)}
}
