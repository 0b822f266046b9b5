package docker

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/unite-hub/berth"
)

// How gently volumes are walked: at most 5,000 files a second.
const (
	walkBatch = 250
	walkPause = 50 * time.Millisecond
)

// The pace of a pass over all tenants.
const (
	longestPause = time.Second      // between the begins of two tenants
	alone        = 10 * time.Second // that one is walked until the next one is begun beside it
	besides      = 4                // tenants that are walked at once
	longestWalk  = 10 * time.Minute // after which a tenant's disk is not known
)

// Disk tells how many bytes each tenant's volumes take up on the disk, one
// tenant after the other, spread over a time. One that is not told is not
// known. Root file systems are read-only and hold nothing. Where no volume can
// be seen the Engine measures them, all at once. tell is not called twice at a
// time.
func (e *Engine) Disk(ctx context.Context, over time.Duration, tell func(organizationID string, bytes int64)) error {
	s := step{op: "measure volumes"}
	var list []volume.Volume
	err := e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.VolumeList(ctx, client.VolumeListOptions{Filters: client.Filters{}.Add("label", berth.LabelTenantID)})
		list = got.Items
		return err
	})
	if err != nil {
		return err
	}
	roots := map[string][]string{}
	for _, v := range e.sort(found{volumes: list}).volumes {
		org := v.Labels[berth.LabelTenantID]
		roots[org] = append(roots[org], v.Mountpoint)
	}
	p := pass{walk: walk, tell: tell}
	p.run(ctx, roots, over)
	if ctx.Err() == nil && p.hidden > 0 && p.seen == 0 {
		return e.diskUsage(ctx, s, tell)
	}
	return ctx.Err()
}

// pass is one look at all tenants' volumes.
type pass struct {
	walk func(ctx context.Context, root string) (int64, error)

	mu           sync.Mutex
	tell         func(organizationID string, bytes int64)
	seen, hidden int // tenants whose volumes this process can and can't see
}

// run begins with one tenant after the other. A tree that takes long is walked
// on beside those after it: it costs only its own tenant.
func (p *pass) run(ctx context.Context, roots map[string][]string, over time.Duration) {
	var walks sync.WaitGroup
	defer walks.Wait()
	pause := min(over/time.Duration(max(1, len(roots))), longestPause)
	slots := make(chan struct{}, besides)
	for _, org := range slices.Sorted(maps.Keys(roots)) {
		next := time.After(pause)
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		done := make(chan struct{})
		walks.Go(func() {
			defer func() { close(done); <-slots }()
			p.measure(ctx, org, roots[org])
		})
		select {
		case <-done:
		case <-time.After(alone):
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// measure tells of one tenant.
func (p *pass) measure(ctx context.Context, org string, roots []string) {
	ctx, cancel := context.WithTimeout(ctx, longestWalk)
	defer cancel()
	sum := int64(0)
	var err error
	for _, root := range roots {
		n, one := p.walk(ctx, root)
		sum, err = sum+n, cmp.Or(err, one)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		p.hidden++
	case err == nil:
		p.seen++
		p.tell(org, sum)
	default: // one tenant's odd tree is its own trouble
		p.seen++
	}
}

// walk sums up what the files below a directory take up. A file with several
// names counts once; one that vanishes meanwhile does not count.
func walk(ctx context.Context, root string) (int64, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	w := walker{ctx: ctx, linked: map[uint64]bool{}}
	err = w.directory(os.NewFile(uintptr(fd), root), 0)
	return w.bytes, err
}

// walker walks one tree, from directory to directory by their descriptors: a
// path may be longer than the kernel takes.
type walker struct {
	ctx    context.Context
	linked map[uint64]bool // inodes with several names
	seen   int
	bytes  int64
}

const (
	deepest   = 512     // directories below each other, each with a descriptor while it is read
	mostLinks = 500_000 // files with several names that are told apart
)

var errOddTree = errors.New("the tree is too deep, or has too many links, to be measured")

// directory reads d in parts, and closes it.
func (w *walker) directory(d *os.File, depth int) error {
	defer func() { _ = d.Close() }() // it was only read
	if depth > deepest {
		return errOddTree
	}
	for {
		entries, err := d.ReadDir(walkBatch)
		for _, e := range entries {
			if err := w.entry(d, e.Name(), depth); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), depth > 0 && errors.Is(err, fs.ErrNotExist): // it has gone
			return nil
		case err != nil:
			return err
		}
	}
}

func (w *walker) entry(d *os.File, name string, depth int) error {
	if w.seen++; w.seen%walkBatch == 0 {
		select {
		case <-w.ctx.Done():
			return w.ctx.Err()
		case <-time.After(walkPause):
		}
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil // it has gone
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		w.bytes += st.Blocks * 512
		fd, err := unix.Openat(int(d.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil
		}
		return w.directory(os.NewFile(uintptr(fd), name), depth+1)
	}
	if st.Nlink > 1 {
		if w.linked[st.Ino] {
			return nil
		}
		if len(w.linked) >= mostLinks {
			return errOddTree
		}
		w.linked[st.Ino] = true
	}
	w.bytes += st.Blocks * 512
	return nil
}

// diskUsage asks the Engine, which walks everything at once.
func (e *Engine) diskUsage(ctx context.Context, s step, tell func(organizationID string, bytes int64)) error {
	return e.do(ctx, s, 4*e.ChangeTimeout, func(ctx context.Context) error {
		got, err := e.api.DiskUsage(ctx, client.DiskUsageOptions{Volumes: true, Verbose: true})
		sizes := map[string]int64{}
		for _, v := range e.sort(found{volumes: got.Volumes.Items}).volumes {
			if v.UsageData != nil && v.UsageData.Size >= 0 { // -1 if it is not known
				sizes[v.Labels[berth.LabelTenantID]] += v.UsageData.Size
			}
		}
		for org, n := range sizes {
			tell(org, n)
		}
		return err
	})
}
